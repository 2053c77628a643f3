/** How the pages look: one column of calm type on paper, in light and dark. */
export const PAGE_STYLE = `
:root {
  --paper: #f6f5f1; --card: #fffefb; --ink: #1d2420; --soft: #5b665f; --line: #e2e0d8;
  --green: #1a6b49; --green-deep: #14563a; --on-green: #ffffff; --wash: #edf4ef;
  --amber: #8a4b12; --amber-wash: #faf1e4; --slate: #3f5566; --slate-wash: #edf1f4;
  --shadow: 0 1px 2px rgb(29 36 32 / 5%), 0 12px 40px rgb(29 36 32 / 7%);
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #101412; --card: #181d1a; --ink: #e8ece8; --soft: #9ba69f; --line: #2a312d;
    --green: #5cc596; --green-deep: #79d3a9; --on-green: #07140d; --wash: #16261e;
    --amber: #e5ad6b; --amber-wash: #29200f; --slate: #a5bccd; --slate-wash: #1a242b;
    --shadow: none;
  }
}
* { box-sizing: border-box; }
html { color-scheme: light dark; -webkit-text-size-adjust: 100%; }
body {
  margin: 0; min-height: 100vh; min-height: 100dvh; padding: clamp(1.25rem, 5vh, 3.5rem) 1.25rem 3rem;
  background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
header, main { max-width: 33rem; margin-inline: auto; }
header {
  display: flex; align-items: center; gap: .6rem; margin-bottom: 1.25rem; padding-inline: .25rem;
  font-weight: 600; letter-spacing: .005em;
}
.mark { color: var(--green); width: 2.1rem; height: auto; }
main {
  background: var(--card); border: 1px solid var(--line); border-radius: 18px; box-shadow: var(--shadow);
  padding: clamp(1.5rem, 6vw, 2.75rem);
}
h1 {
  margin: 0 0 .6rem; font-size: clamp(1.55rem, 5.2vw, 1.95rem); line-height: 1.2; font-weight: 620;
  letter-spacing: -.018em; text-wrap: balance;
}
h2 { margin: 2rem 0 -.75rem; font-size: 1.15rem; font-weight: 620; }
p { margin: 0 0 1rem; text-wrap: pretty; }
p:last-child { margin-bottom: 0; }
.lead { color: var(--soft); }
strong { font-weight: 620; color: var(--ink); }
dl { margin: 1.75rem 0; border-top: 1px solid var(--line); }
dl > div {
  display: grid; grid-template-columns: 8.5rem 1fr; gap: .25rem 1rem; padding: .8rem 0;
  border-bottom: 1px solid var(--line);
}
dl > .wide { grid-template-columns: 1fr; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
dd small { display: block; color: var(--soft); font-size: .9rem; }
.chips { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0; padding: 0; list-style: none; }
.chips li, code {
  font: .9rem/1.5 ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace;
  background: var(--wash); border-radius: 6px; padding: .1rem .45rem; overflow-wrap: anywhere;
}
label { display: block; margin-bottom: .4rem; color: var(--soft); font-size: .94rem; }
input:not([type=hidden]) {
  display: block; width: 100%; margin-bottom: 1.25rem; padding: .75rem 1rem; border: 1px solid var(--soft);
  border-radius: 11px; background: var(--paper); color: var(--ink); text-align: center; text-transform: uppercase;
  font: 600 1.4rem/1.4 ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace; letter-spacing: .14em;
}
button, .button {
  display: block; width: 100%; padding: .85rem 1.25rem; border: 0; border-radius: 11px; cursor: pointer;
  background: var(--green); color: var(--on-green); font: inherit; font-weight: 600; text-align: center;
  text-decoration: none; transition: background-color .12s;
}
button:hover, .button:hover { background: var(--green-deep); }
:focus-visible { outline: 3px solid var(--green); outline-offset: 3px; }
a { color: var(--green); text-underline-offset: .2em; }
.aside { margin-top: 1.25rem; color: var(--soft); font-size: .94rem; line-height: 1.55; }
.sign {
  display: block; margin-bottom: 1.25rem; padding: 9px; border-radius: 50%;
  fill: none; stroke-width: 2.4; stroke-linecap: round; stroke-linejoin: round; box-sizing: border-box;
}
.done .sign { background: var(--wash); stroke: var(--green); }
.failed .sign { background: var(--amber-wash); stroke: var(--amber); }
.neutral .sign { background: var(--slate-wash); stroke: var(--slate); }
.remedy { margin: 1.5rem 0 0; padding: 1rem 1.15rem; border-radius: 11px; background: var(--slate-wash); }
.failed .remedy { background: var(--amber-wash); }
.remedy h2 { margin: 0 0 .2rem; font-size: .94rem; font-weight: 620; }
.remedy p { margin: 0; }
.remedy + p { margin-top: 1.5rem; }
@media (max-width: 26rem) {
  dl > div { grid-template-columns: 1fr; gap: 0; }
  dt { font-size: .9rem; }
}
@media (prefers-reduced-motion: reduce) { * { transition: none; } }
`;
