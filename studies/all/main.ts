// `npm run bench:all`: makes the reports in docs/results anew that are measured alone on the machine, one after the other, and
// says how long each took. `--only NAME` (repeatable, or separated by commas) selects some. It takes hours. Not among them:
// the routers, which take more of them: that comparison keeps what it has, and says so.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { asTrainerError, EXIT, exitCodeOf, TrainerError } from 'locmoe/internal/errors';
import { onSignals } from 'locmoe/internal/os/on-signals';
import { makeReports, type Reports } from './make-reports.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LOCMOE = [process.execPath, path.join(ROOT, 'dist/cli/cli.js'), 'bench'];

/** The command of a study, whose figures are all measured anew. */
const studyOf = (name: string) => [
  ...[process.execPath, '--conditions=source', '--import', 'tsx', path.join(ROOT, 'studies/run.ts')],
  ...[name, '--anew'],
];

/** What takes least first. */
const REPORTS: Reports = {
  collectives: [...LOCMOE, 'collectives'],
  plan: [...LOCMOE, 'plan'],
  step: [...LOCMOE, 'step', '--peer', 'torch', '--turns', '2'],
  observability: studyOf('observability'),
  doors: studyOf('doors'),
  storage: studyOf('storage'),
  precision: studyOf('precision'),
  inheritance: studyOf('inheritance'),
  recovery: [...LOCMOE, 'recovery'],
};

/** Ctrl-C reaches the child from the terminal, other signals are passed on; both end all. */
async function run([program, ...args]: readonly string[]): Promise<number> {
  const child = spawn(program, args, { cwd: ROOT, stdio: 'inherit' });
  let stopped = false;
  const off = onSignals((signal) => {
    stopped = true;
    if (signal !== 'SIGINT') child.kill(signal);
  });
  try {
    const [code] = (await once(child, 'exit')) as [number | null];
    return stopped ? EXIT.interrupted : (code ?? EXIT.failedRun);
  } catch (error) {
    console.error(`${program} cannot be started: ${(error as Error).message}`);
    return EXIT.failedRun;
  } finally {
    off();
  }
}

function wantedReports(): string[] {
  try {
    const { values } = parseArgs({ options: { only: { type: 'string', multiple: true, default: [] } } });
    return values.only.flatMap((names) => names.split(','));
  } catch (error) {
    throw new TrainerError('BAD_INPUT', (error as Error).message);
  }
}

try {
  process.exitCode = await makeReports({ reports: REPORTS, only: wantedReports(), run, log: console.log });
} catch (error) {
  const known = asTrainerError(error);
  console.error(`bench:all: ${known.line}`);
  process.exitCode = exitCodeOf(known);
}
