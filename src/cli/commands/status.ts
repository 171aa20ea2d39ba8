import {
  generationsOf,
  RunFolder,
  type RunGeneration,
  readJournal,
  restartCostsOf,
} from '@locmoe/run-format';
import type { Command } from 'commander';
import { EXIT } from '../../errors.js';
import { formatCount, formatDuration, formatNumberOf, formatTable } from '../../format.js';
import type { RankSpeed, StatusReply } from '../../rpc/generated/messages.js';
import { generationLines } from '../generation-lines.js';
import { jsonOf, pastRun, pastRunLines } from '../past-run.js';
import { addLocateOptions, type LocateOptions, locateRun } from './locate.js';

/** `locmoe status`: shows the state of a run and of each of its ranks. */
export function statusCommand(command: Command): void {
  addLocateOptions(command)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExit code 3 if the run has failed, or its coordinator is gone.')
    .action(showStatus);
}

async function showStatus(options: LocateOptions & { readonly json?: boolean }): Promise<void> {
  const run = await locateRun(options);
  if (run.kind === 'over') {
    const past = pastRun(run);
    console.log(options.json ? JSON.stringify(jsonOf(past)) : pastRunLines(past).join('\n'));
    if (past.state === 'failed' || past.state === 'dead') process.exitCode = EXIT.failedRun;
    return;
  }
  try {
    const status = await run.client.status();
    // The list is empty if the run's folder is on another machine.
    const generations = generationsOf(readJournal(new RunFolder(status.runDir).journal));
    console.log(
      options.json
        ? JSON.stringify({ ...status, ...restartCostsOf(generations), generations })
        : describe(status, generations),
    );
    if (status.state === 'failed') process.exitCode = EXIT.failedRun;
  } finally {
    run.client.close();
  }
}

function describe(status: StatusReply, generations: readonly RunGeneration[]): string {
  const head = [
    `${status.runId}: ${status.state}, generation ${status.generation}`,
    `  ${progress(status)}`,
    `  folder ${status.runDir}`,
    ...diskLines(status),
    `  ${restartLine(status)}`,
  ];
  const past = generationLines(generations, status.step);
  if (status.workers.length === 0) return [...head, ...past].join('\n');
  // The rows are split into two tables, as one would be wider than a terminal.
  const doing = status.workers.map((worker) => [
    `rank ${worker.rank}`,
    worker.processState,
    String(worker.step),
    worker.phase,
    worker.operation.replace(/ \(operation (\d+)\)$/, ' #$1') || '-',
  ]);
  const using = status.workers.map((worker) => [
    `rank ${worker.rank}`,
    String(worker.pid),
    `${formatCount(worker.residentBytes / 1e6)} MB`,
    ...speedOf(status.speeds.find(({ rank }) => rank === worker.rank)),
  ]);
  return [
    ...head,
    formatTable([['', 'state', 'step', 'phase', 'operation'], ...doing], { textColumns: [1, 3, 4] }),
    stateLegend(status.workers.map(({ processState }) => processState)),
    formatTable([['', 'pid', 'memory', 'own p50', 'p99', 'lost'], ...using]),
    ...past,
  ].join('\n');
}

/** Formats the progress of a run, which has neither a loss nor a speed before its first steps. */
function progress({ step, steps, loss, tokensPerS, secondsLeft }: StatusReply): string {
  const reached = `step ${step}/${steps}`;
  if (tokensPerS === 0) return reached;
  const last = Number.isNaN(loss) ? 'last step skipped: not finite' : `loss ${loss.toFixed(3)}`;
  return `${reached}  ${last}  ${formatCount(tokensPerS)} tokens/s  left ${formatDuration(secondsLeft)}`;
}

/** Describes what a full disk costs the run; no lines while there is room. */
function diskLines({ notRecordingSinceMs, lostRecords, failedCheckpoints }: StatusReply): string[] {
  const since = new Date(notRecordingSinceMs).toISOString();
  return [
    ...(notRecordingSinceMs === 0
      ? []
      : [
          `  not recording since ${since}: the disk is full, ${formatNumberOf(lostRecords, 'record')} lost; free some space`,
        ]),
    ...(failedCheckpoints === 0
      ? []
      : [
          `  the disk had no room for the last ${failedCheckpoints === 1 ? 'checkpoint' : `${failedCheckpoints} checkpoints`}`,
        ]),
  ];
}

function restartLine({ restartsFrom, restartStep }: StatusReply): string {
  if (restartsFrom === 'nothing') return 'a restart would begin anew: nothing is saved yet';
  const where = restartsFrom === 'snapshot' ? 'snapshot in memory' : 'checkpoint';
  return `a restart would go on from step ${restartStep} (${where})`;
}

const STATES: Readonly<Record<string, string>> = {
  R: 'runs',
  S: 'sleeps',
  D: 'waits for a disk',
  T: 'stopped (SIGSTOP)',
  t: 'held by a debugger',
  Z: 'ended',
  X: 'gone',
};

/** Explains the kernel's state letters in the table. */
function stateLegend(letters: readonly string[]): string {
  const known = [...new Set(letters)].sort().map((letter) => `${letter} ${STATES[letter] ?? 'unknown'}`);
  return `  state: ${known.join(', ')}`;
}

/** Formats the rank's own time in a step, and the share of the steps' time by which it exceeds the next slowest rank. */
function speedOf(speed: RankSpeed | undefined): string[] {
  if (speed === undefined) return ['-', '-', '-'];
  return [
    `${speed.p50Ms.toFixed(1)} ms`,
    `${speed.p99Ms.toFixed(1)} ms`,
    `${(100 * speed.lostShare).toFixed(0)} %`,
  ];
}
