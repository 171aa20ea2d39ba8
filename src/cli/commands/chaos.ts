import { findRun, readJournal } from '@locmoe/run-format';
import { type Command, InvalidArgumentError } from 'commander';
import { chaosSummary } from '../../chaos/chaos-summary.js';
import { evidenceOf } from '../../chaos/evidence-of-run.js';
import { FAULTS } from '../../chaos/faults.js';
import { injectFaults } from '../../chaos/inject-faults.js';
import { checkInvariants } from '../../chaos/invariants/invariants.js';
import { LiveRun } from '../../chaos/live-run.js';
import { EXIT } from '../../errors.js';
import { onSignals } from '../../os/on-signals.js';
import type { SecurityOptions } from '../../rpc/security.js';
import { securityFor } from './locate.js';
import { addSecurityOptions, durationS, wholeNumber } from './options.js';

interface ChaosFlags extends SecurityOptions {
  readonly run?: string;
  readonly runsDir: string;
  readonly seed: number;
  readonly faults: readonly string[];
  /** Interval between faults, in seconds. */
  readonly every: number;
  readonly for: number;
  readonly twin?: string;
}

/** `locmoe chaos`: injects faults into one of the user's own runs, and checks the invariants. */
export function chaosCommand(command: Command): void {
  command
    .option('--run <dir>', 'name or folder of a run (default: the newest)')
    .option('--runs-dir <dir>', 'folder that holds the runs', 'runs')
    .option(
      '--seed <n>',
      'decides the faults, their targets and their times',
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
      1,
    )
    .option('--faults <words>', `separated by commas: ${Object.keys(FAULTS).join(', ')}`, faultNames, [
      'worker-kill',
    ])
    .option('--every <time>', 'between two faults, on average, e.g. 20s', durationS, 20)
    .option(
      '--for <time>',
      'how long, e.g. 30m (default: until the run is over)',
      durationS,
      Number.POSITIVE_INFINITY,
    )
    .option(
      '--twin <dir>',
      'folder of a run of the same configuration without faults, to compare losses with',
    );
  addSecurityOptions(command, { listens: false })
    .addHelpText(
      'after',
      '\nOnly for a run of this user on this machine. partition, slow-link, disk-full and nan need one that was started with --allow-faults, coordinator-kill one of `locmoe serve` under a supervisor. Ctrl-C ends it. Exit code 0 only if no invariant is broken.',
    )
    .action(disturb);
}

async function disturb(flags: ChaosFlags): Promise<void> {
  const found = findRun(flags.runsDir, flags.run);
  const { folder } = found;
  const run = await LiveRun.open(folder, securityFor(found, flags));
  const stop = new AbortController();
  const off = onSignals(() => stop.abort());
  try {
    const injected = await injectFaults(run, {
      ...flags,
      everyS: flags.every,
      forS: flags.for,
      signal: stop.signal,
      say: (line) => console.log(`${new Date().toISOString().slice(11, 23)} ${line}`),
    });
    const verdict = checkInvariants(await evidenceOf(run, { twin: flags.twin ?? null, exitCode: null }));
    for (const line of chaosSummary(injected, readJournal(folder.journal), verdict)) console.log(line);
    process.exitCode = verdict.violations.length === 0 ? EXIT.done : EXIT.failedRun;
  } finally {
    off();
    run.close();
  }
}

/** @throws InvalidArgumentError for an unknown name */
function faultNames(words: string): string[] {
  const names = words.split(',');
  const unknown = names.find((name) => !Object.hasOwn(FAULTS, name));
  if (unknown !== undefined)
    throw new InvalidArgumentError(`no fault "${unknown}"; there are ${Object.keys(FAULTS).join(', ')}.`);
  return names;
}
