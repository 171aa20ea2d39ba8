import path from 'node:path';
import { findRun } from '@locmoe/run-format';
import { type Command, Option } from 'commander';
import { isLive } from '../../coordinator/planning/run-liveness.js';
import { fromHere, locmoeCommand } from '../../os/command-line.js';
import { nextSignal } from '../../os/on-signals.js';
import { formatAddress } from '../../rpc/address.js';
import { loadToken, NO_SECURITY, randomToken } from '../../rpc/security.js';
import { securityOfRun } from '../../run/run-token.js';
import { loadPage } from '../packages.js';
import { pageUrl, printed, tokenLine } from '../page-url.js';

interface InspectOptions {
  readonly run?: string;
  readonly runsDir: string;
  readonly http?: string;
  readonly tokenFile?: string;
}

const DEFAULT_HTTP = '127.0.0.1:0';

/** `locmoe inspect`: serves the page that shows runs, past ones included, in a browser. */
export function inspectCommand(command: Command): void {
  command
    .option('--run <dir>', 'run folder or run id to begin with (default: the newest)')
    .option('--runs-dir <dir>', 'folder that holds the runs', 'runs')
    .option(
      '--http <host:port>',
      `serve the page here, even where a live run serves its own; port 0 takes a free one (default: ${DEFAULT_HTTP})`,
    )
    .addOption(
      new Option(
        '--token-file <file>',
        'file with the token that callers must give; required beyond loopback (locmoe certs; default: a new one, in the address that is printed)',
      ).env('LOCMOE_TOKEN_FILE'),
    )
    .addHelpText(
      'after',
      `
The page needs no internet. It reads the runs folder, so that runs that are over, failed, or still going can be looked at
and laid over each other.

Examples:
  locmoe inspect                                  the newest run
  locmoe inspect --run tiny-20260102-030405       this one
  locmoe inspect --http 0.0.0.0:8080 --token-file tls/token     for other machines; open /?token=TOKEN there`,
    )
    .action(inspect);
}

const UNSHOWN_TOKEN =
  'a token that `locmoe inspect` did not print, as other users can read its output (start it with --token-file FILE),';

async function inspect({ run, runsDir, http, tokenFile }: InspectOptions): Promise<void> {
  const { folder, record } = findRun(runsDir, run);
  // `--help` should not wait for the page and the log store to load.
  const { assertMayServe, OWN_TOKEN, startRunHttp } = await import('../run-http.js');
  const given = tokenFile ? loadToken(tokenFile) : null;
  if (http === undefined && record.http !== undefined && (await isLive(record, NO_SECURITY))) {
    const { token } = securityOfRun(folder);
    const shown = token && printed(token);
    console.log(`${record.runId} is live, its page: ${pageUrl(record.http, record.runId, shown)}`);
    if (shown === null) console.log(`  ${tokenLine(token && folder.token)}`);
    console.log(
      `to serve it from here as well: ${locmoeCommand(['inspect', '--run', fromHere(folder.directory), '--http', '127.0.0.1:0'])}`,
    );
    return;
  }
  const served = path.dirname(folder.directory);
  const page = (await loadPage()).pageFeature(served, folder.runId);
  const options = { http: http ?? DEFAULT_HTTP, runsDir: served, page };
  assertMayServe(options.http, given);
  const token = given ?? randomToken();
  const shown = given === null ? printed(token) : 'TOKEN';
  const tokenName = given !== null ? undefined : shown === null ? UNSHOWN_TOKEN : OWN_TOKEN;
  const server = await startRunHttp({ ...options, tokenName }, token, null);
  if (server === null) return;
  // The handler is registered before the address is printed, as a signal may follow at once.
  const stopped = nextSignal();
  console.log(`page: ${pageUrl(formatAddress(server.address), folder.runId, shown)}`);
  if (shown === null)
    console.log(
      '  its token is left out, as other users can read this output: start it with --token-file FILE',
    );
  console.log(`serving ${fromHere(served)} until Ctrl-C`);
  await stopped;
  await server.close();
}
