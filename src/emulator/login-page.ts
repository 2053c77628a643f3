/** The pages of the emulated provider: sign in, verification code, consent, and errors. No script, no outside assets. */
import { createHash } from 'node:crypto';
import { answer, type Reply } from './wire.ts';

export interface PageOptions {
  /** Where the form goes, with the visit in it. */
  readonly action: string;
  readonly providerName: string;
  readonly appName: string;
  /** Shown above the form, and read out. */
  readonly problem: string | null;
  /** A page whose fields are named otherwise than usual: what breaks a program that fills in forms. */
  readonly isChanged: boolean;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5a6675; --page: #eef1f5; --card: #fff; --line: #8b97a6;
  --accent: #b3122b; --accent-ink: #fff; --bad: #9d1023; --bad-page: #fdecee; --focus: #1456c4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf2; --soft: #a7b2c0; --page: #12161c; --card: #1c222b;
  --line: #6b7888; --accent: #ff8093; --accent-ink: #2a060c; --bad: #ff9aa9; --bad-page: #3a151b; --focus: #8ab4ff; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; grid-template-rows: auto 1fr auto; color: var(--ink);
  background: var(--page); font: 1rem/1.5 system-ui, -apple-system, 'Segoe UI', sans-serif; }
.notice { padding: .5rem 1rem; text-align: center; font-size: .875rem; background: #ffd65a; color: #2b2000; }
main { width: min(26rem, 100% - 2rem); margin: 2rem auto; align-self: center; padding: 2rem; background: var(--card);
  border-radius: .75rem; box-shadow: 0 1px 2px rgb(0 0 0 / .12), 0 8px 28px rgb(0 0 0 / .1); }
.brand { margin: 0 0 1.25rem; font-weight: 650; color: var(--accent); }
h1 { margin: 0 0 .25rem; font-size: 1.5rem; line-height: 1.25; }
h1 + form, h1 + .problem { margin-top: 1rem; }
p { margin: 0 0 1rem; } .soft { color: var(--soft); }
label, legend { display: block; font-weight: 600; margin-bottom: .25rem; padding: 0; }
input[type=text], input[type=password] { width: 100%; margin-bottom: 1rem; padding: .625rem .75rem; font: inherit;
  color: inherit; background: transparent; border: 1px solid var(--line); border-radius: .375rem; }
input.code { font-size: 1.5rem; letter-spacing: .35em; font-variant-numeric: tabular-nums; }
fieldset { margin: 0 0 1rem; padding: 0; border: 0; } fieldset label { font-weight: 400; padding: .25rem 0; }
input[type=checkbox] { width: 1.1rem; height: 1.1rem; margin: 0 .5rem 0 0; vertical-align: -.15rem;
  accent-color: var(--accent); }
ul { margin: 0 0 1rem; padding-left: 1.25rem; } .buttons { display: flex; gap: .75rem; flex-wrap: wrap; }
button { flex: 1; min-height: 2.75rem; padding: .5rem 1rem; font: inherit; font-weight: 600; cursor: pointer;
  border-radius: .375rem; border: 1px solid var(--accent); background: var(--accent); color: var(--accent-ink); }
button.other { background: transparent; color: var(--ink); border-color: var(--line); }
button:hover { filter: brightness(1.08); }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.problem { margin: 0 0 1rem; padding: .625rem .75rem; color: var(--bad); background: var(--bad-page);
  border-left: 4px solid var(--bad); border-radius: .25rem; }
footer { padding: 1rem; text-align: center; font-size: .875rem; color: var(--soft); }
`;
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

function escapeHtml(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replaceAll(/[&<>"']/g, (sign) => names[sign] ?? sign);
}

export function loginPage(options: PageOptions, username: string): Reply {
  const names = options.isChanged
    ? { user: 'account', password: 'secret' }
    : { user: 'username', password: 'password' };
  const form = `
    <label for="username">User name</label>
    <input id="username" name="${names.user}" type="text" autocomplete="username" autocapitalize="none"
      spellcheck="false" required ${username === '' ? 'autofocus' : ''} value="${escapeHtml(username)}">
    <label for="password">Password</label>
    <input id="password" name="${names.password}" type="password" autocomplete="current-password" required
      ${username === '' ? '' : 'autofocus'}>
    <div class="buttons"><button>Sign in</button></div>`;
  const lead = `<p class="soft">to continue to <strong>${escapeHtml(options.appName)}</strong></p>`;
  return page(options, 'Sign in', lead, form);
}

export function totpPage(options: PageOptions): Reply {
  const name = options.isChanged ? 'pin' : 'code';
  const form = `
    <label for="code">Verification code</label>
    <input id="code" class="code" name="${name}" type="text" inputmode="numeric" autocomplete="one-time-code"
      pattern="[0-9 ]{6,7}" maxlength="7" required autofocus aria-describedby="code-hint">
    <p id="code-hint" class="soft">Six digits from your authenticator app. Each code works once.</p>
    <div class="buttons"><button>Verify</button></div>`;
  return page(options, 'Two-step verification', '', form);
}

export interface ConsentOptions extends PageOptions {
  readonly userName: string;
  readonly legend: string;
  /** What the user may leave out. */
  readonly choices: readonly { readonly field: string; readonly value: string; readonly label: string }[];
  /** Where the answer is sent; named on the page, and allowed as the form's way out. Null: to a device that waits. */
  readonly redirectUri: string | null;
}

export function consentPage(options: ConsentOptions): Reply {
  const app = escapeHtml(options.appName);
  const target = options.redirectUri === null ? '' : new URL(options.redirectUri).origin;
  const boxes = options.choices.map(
    ({ field, label }) =>
      `<label><input type="checkbox" name="${escapeHtml(field)}" checked>${escapeHtml(label)}</label>`,
  );
  const form = `
    <fieldset><legend>${escapeHtml(options.legend)}</legend>${boxes.join('')}</fieldset>
    <p class="soft">Signed in as ${escapeHtml(options.userName)}. The answer goes to ${escapeHtml(target || 'the device that showed you the code')}.</p>
    <div class="buttons">
      <button class="other" name="decision" value="deny">Deny</button>
      <button name="decision" value="approve">Allow</button>
    </div>`;
  const lead = `<p><strong>${app}</strong> asks to read and change data for you, also while you are away.</p>`;
  return page(options, 'Allow access?', lead, form, target);
}

/** Where a person types the code that a device shows (RFC 8628 section 3.3). */
export function deviceCodePage(options: PageOptions): Reply {
  const form = `
    <label for="user_code">Code on your device</label>
    <input id="user_code" class="code" name="user_code" type="text" autocomplete="off" autocapitalize="characters"
      spellcheck="false" required autofocus>
    <div class="buttons"><button>Continue</button></div>`;
  return page(options, 'Connect a device', '', form);
}

/** The end of a device's authorization: nobody is sent anywhere. */
export function doneInBrowserPage(providerName: string, isAllowed: boolean): Reply {
  const text = isAllowed
    ? 'Your device goes on by itself. You can close this page.'
    : 'Your device was told. You can close this page.';
  return html(200, providerName, isAllowed ? 'Device connected' : 'Device turned away', `<p>${text}</p>`, '');
}

/** What a program that fills in forms cannot pass. */
export function captchaPage(options: PageOptions): Reply {
  const form = `
    <label for="captcha">Type the word shown in the picture</label>
    <input id="captcha" name="captcha" type="text" autocomplete="off" required>
    <div class="buttons"><button>Continue</button></div>`;
  return page(options, 'Are you a person?', '', form);
}

export function errorPage(providerName: string, title: string, text: string): Reply {
  return html(400, providerName, title, `<p>${escapeHtml(text)}</p>`, '');
}

function page(options: PageOptions, title: string, lead: string, form: string, target = ''): Reply {
  const problem = options.problem === null ? '' : `<p class="problem" role="alert">${escapeHtml(options.problem)}</p>`;
  const body = `${lead}${problem}<form method="post" action="${escapeHtml(options.action)}">${form}</form>`;
  return html(200, options.providerName, options.problem ? `Problem: ${title}` : title, body, target, title);
}

function html(status: number, name: string, title: string, body: string, target: string, heading = title) {
  const text = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} · ${escapeHtml(name)} (emulated)</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<div class="notice" role="note">Emulated for tests. Never type a real password here.</div>
<main>
<p class="brand">${escapeHtml(name)}</p>
<h1>${escapeHtml(heading)}</h1>
${body}
</main>
<footer>Evergrant emulator</footer>
</body>
</html>
`;
  return answer(status, headers(target), text);
}

/** Chromium applies `form-action` to the redirect after a form too, so the way out is named. */
function headers(target: string): Record<string, string> {
  const policy = [
    "default-src 'none'",
    `style-src 'sha256-${STYLE_HASH}'`,
    'img-src data:',
    `form-action 'self' ${target}`.trim(),
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ];
  return {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': policy.join('; '),
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
  };
}
