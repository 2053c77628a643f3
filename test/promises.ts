/**
 * What Evergrant promises, in our own words, by the number of the requirement behind it. A test whose name carries a
 * number, as in `[S25]`, holds that promise; docs/promises.md is made from the two (`npm run docs`).
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const PROMISES: Readonly<Record<string, string>> = {
  S1: 'A refresh token works only with the app and the account that it was given for.',
  S2: 'Exact Online: a refresh token that was used may be presented again for ten minutes from its first use.',
  S3: 'Exact Online: using a token, by an exchange or an API call, ends all earlier ones.',
  S4: 'A grant that nobody uses is exchanged before the provider would drop it.',
  S5: 'Apps that Exact Online allows to reuse old refresh tokens are emulated, and never relied upon.',
  S6: 'Providers that rotate always, with a window, or never are all served by the same rules.',
  S7: "The provider's API answers only to a live access token.",
  S8: 'An access token ends when its life from issue is over, used or not, and none is handed out that ends sooner than asked.',
  S9: 'A refresh token lives at least as long as the access token that came with it.',
  S10: 'An authorization code is exchanged at once; an expired one is explained with its times.',
  S11: 'An authorization code is opaque: whatever its form and length, it is passed on unchanged.',
  S12: 'The life of an authorization code is a figure of the provider, not of the program.',
  S13: 'A callback that arrives twice sends the code once and harms nothing.',
  S14: 'Exact Online: only the last used token and the newest unused one are accepted.',
  S15: 'Stopping the keeper at any step of an exchange loses no chain where the provider leaves a way.',
  S16: 'The refusal of a superseded token is known by its exact text, and named by its cause.',
  S17: 'The refusal of an unknown chain is known by its exact text, and named by its cause.',
  S18: 'Whether a refused token was older or newer than the active one is told from our own record.',
  S19: 'How often chains break under faults is measured per kind of provider.',
  S20: 'A provider that hands out a dead, empty or repeated refresh token does not end the chain.',
  S21: 'Refusals that a provider makes at random are recognised, counted, and either healed or reported.',
  S22: 'The number of live refresh tokens per account is a figure of the provider, from one on.',
  S23: 'How long a refresh token lives is a figure of the provider.',
  S24: 'Exchanges are planned from the life that the answer names, in whatever form it names it.',
  S25: 'Two exchanges of one chain are never closer together than the provider allows (Exact Online: 9.5 minutes), also after a restart or a manual refresh.',
  S26: 'An exchange that came too early is recognised as that, and costs no chain.',
  S27: 'All countries of Exact Online follow the same rules under their own hosts.',
  S28: 'A second authorization of the same app and account is noticed, since it ends the first.',
  S29: 'Exact Online: a sign-in is not remembered; each authorization asks for everything again.',
  S30: 'Each app brings its own client id and secret, from its registration at the provider.',
  S31: 'At one failure in a thousand authorizations, every failure is healed or reported.',
  S32: 'The limits of a provider on calls are kept here, with a clear error before they are exceeded.',
  S33: 'No token, client secret or password stands in the database, its log or a backup in clear.',
  S34: 'Many consumers share one grant at the same time.',
  S35: 'Clients keep nothing about the chain.',
  S36: 'The same account of the same app is one grant, however often and by whomever it is connected.',
  S37: 'Who connects an account twice is told the two ways out.',
  S38: 'A chain that broke by a crash says when and at which step.',
  S39: 'After a crash, a power cut or a failing disk, chains are taken up where the provider left them.',
  S40: 'A chain that broke can be begun anew without a person, where that was set up.',
  S41: 'Two apps give one account two independent chains.',
  S42: 'A month of crashes and network faults needs no person.',
  S43: 'One grant serves any number of companies behind the same account.',
  S44: 'Common tools and languages have a sample that runs.',
  S45: 'Without demand nothing is sent, except what keeps a grant alive.',
  S46: 'However many ask, one exchange serves them all.',
  S47: 'While an access token lives, an outage of the provider is not felt.',
  S48: 'Failures of the network are retried only where a one-time token cannot be spent twice by it.',
  S49: 'A token can be made fresh ahead of time, within the spacing of the provider.',
  S50: 'The error for asking too early says how long to wait, for which grant, and where to renew.',
  S51: 'Asking too early just before a chain breaks is named as the cause.',
  S52: 'The message about spacing between exchanges is known and explained.',
  S53: 'A token that expired in use and one that was never used are told apart.',
  S54: 'The message about an obsolete token is known and explained.',
  S55: 'Being asked to wait never counts as broken; a dead chain always does.',
  S56: 'What goes wrong is seen on the dashboard and in what the client is told.',
  S57: 'All grants that need a person are walked through in a row.',
  S58: 'Serving a cached token costs no write and no query.',
  S59: 'A broken chain need not wait for a person.',
  S60: 'Recovery walks through the whole authorization, and only when nothing less helps.',
  S61: 'What recovery needs is sealed, and shown nowhere.',
  S62: 'Each organization has its own key; rows of one do not open with that of another.',
  S63: 'Recovery is off until somebody accepts its risk, and that is on record.',
  S64: 'What lowers the risk of recovery is listed where it is set up.',
  S65: 'What recovery needs is wiped after its days are over, with reminders before.',
  S66: 'How long recovery data is kept can be chosen within bounds.',
  S67: 'Recovery is set up on the page of the grant.',
  S68: 'A recovery that ends in another account is discarded.',
  S69: 'The verification code is computed from a TOTP secret in any common notation (RFC 6238).',
  S70: 'Where to find a TOTP secret is explained.',
  S71: 'Consent given again elsewhere is noticed, and does no silent harm.',
  S72: 'The implicit flow is emulated for those who know it; the keeper uses codes.',
  S73: 'Filling in the verification code is named with its risk.',
  S74: 'How many prompts are spared is counted.',
  S75: 'A product that only knows refresh token, client id and secret works unchanged.',
  S76: 'A chain that was begun elsewhere can be brought along.',
  S77: 'No answer, page or log gives a client secret back.',
  S78: 'Handing out a client secret is left to the owner of the app.',
  S79: 'The chain is kept and shared by all who need it.',
  S80: 'A renewal by another account changes nothing.',
  S81: 'A faulty authorization server is coped with in the code flow itself.',
  S82: 'A script gets a token without a browser.',
  S83: 'A chain is kept without the conditions that on-premise products set.',
  S84: 'Several nodes on one grant make one exchange at a time.',
  S85: 'A new token is used only after it is safely kept.',
  S86: 'Independent consumers share a grant, and one can be shut out without the others.',
  S87: 'Several databases share one grant.',
  S88: 'The limits of a provider are shared by all consumers of an app.',
  S89: 'Several apps and accounts stay possible.',
  S90: 'The refresh token of the provider never leaves the keeper.',
  S91: 'Several processes on one machine share a data folder safely: one holds it.',
  S92: 'One grant on SQLite and thousands get the same promises.',
  S93: 'What security costs and gives is written down.',
  S94: 'A 403 with invalid_grant is a dead grant, not a lack of rights.',
  S95: 'The record of a grant lasts as long as the grant.',
  S96: 'Auth0: a token may be used again within the reuse interval; later that revokes the family.',
  S97: 'Auth0: several answers to one token are coped with, and one of them is kept.',
  S98: 'The provider log entry for a reused token is known and explained.',
  S99: 'A chain counts its authorizations and tokens, and shows which one was presented.',
  S100: 'Using an old token of a family ends the family, where the provider says so.',
  S101: 'The end of the absolute life of a grant is known ahead.',
  S102: 'A token that somebody else used is named as such, because our own record shows no use.',
  S103: 'A cap on tokens per account and app is known, and old ones are not piled up.',
  S104: 'An answer lost on the network is asked for again, where the provider allows that.',
  S105: 'An answer that the database does not take is kept in the journal.',
  S106: 'A crash in the middle of an exchange is taken up at the next start.',
  S107: 'A person can always begin a chain anew.',
  S108: 'Every exchange leaves a record: fingerprints, times, node and outcome, never a token.',
  S109: 'Clients handle no refresh token of a provider.',
  S110: 'The connection is open before an exchange counts as begun; a dead network spends no token.',
  S111: 'A token is presented again only within the time that the provider gives.',
  S112: 'A new token is read back from the store and compared before anybody sees it.',
  S113: 'What can be recovered, and what cannot, is told per kind of provider.',
  S114: 'Nobody has to read a refresh token out of a library.',
  S115: 'What a client holds does not change.',
  S116: 'Every provider looks the same to a client.',
  S117: 'A durable refresh token is worth nothing without the credentials of its client.',
  S118: 'The life of a durable refresh token slides with its use, up to the end of the consent.',
  S119: 'A provider whose refresh tokens work exactly once is emulated and served.',
  S120: 'Why a token is refused is told inside, never to the one who presents it.',
  S121: 'A partition, a program fault, a lost write and a flipped bit each leave the chain whole.',
  S122: 'Getting a token takes a client a few lines.',
  S123: 'The end of a grant is announced before it comes.',
  S124: 'Over a thousand exchanges upstream, what the client holds stays the same.',
  S125: 'A durable refresh token lives as long as the consent.',
  S126: 'Faults behind the keeper do not become faults of its clients.',
  S127: 'Clients that want rotation or bound tokens can have them.',
  S128: 'Broken chains are counted.',
  S129: 'A provider that drops the oldest token beyond a cap does so silently, and this is emulated.',
  S130: 'The life of an access token counts from its issue and does not slide.',
  S131: 'The historic figures of each provider stand in its profile.',
};

export interface TaggedTest {
  readonly tag: string;
  readonly name: string;
  readonly file: string;
}

const ROOT = join(import.meta.dirname, '..');
const NAME = /^( *)(?:test|it|describe)(?:\.\w+)*(?:\([^()]*\))?\(\s*(['"`])((?:\\.|(?!\2)[^\\])*)\2/gm;

/** Every test whose name carries a number, by number. */
export function taggedTests(): readonly TaggedTest[] {
  const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts'], { cwd: ROOT }).toSorted();
  return files.flatMap((file) => testsIn(file)).toSorted((a, b) => Number(a.tag.slice(1)) - Number(b.tag.slice(1)));
}

/** The name of a test is a sentence that may begin in the groups around it; the formatter's indent tells which. */
function testsIn(file: string): readonly TaggedTest[] {
  const code = readFileSync(join(ROOT, file), 'utf8');
  let around: readonly { readonly indent: number; readonly words: string }[] = [];
  return [...code.matchAll(NAME)].flatMap(([, indent = '', , written = '']) => {
    const words = written
      .replaceAll(/\s*\[S\d[^\]]*\]/g, '')
      .replaceAll(/\\(.)/g, '$1')
      .trim();
    around = [...around.filter((group) => group.indent < indent.length), { indent: indent.length, words }];
    const name = around.map((group) => group.words).join(' ');
    return [...written.matchAll(/S\d+(?=[^[\]]*\])/g)].map(([tag]) => ({ tag, name, file }));
  });
}
