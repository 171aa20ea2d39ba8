import type { Command } from 'commander';
import { formatCount, formatDuration, formatTable } from '../../format.js';
import type { RankSpeed, StatusReply } from '../../rpc/messages.js';
import { addLocateOptions, type LocateOptions, locateRun } from './locate.js';

/** `locmoe status`: what a run and each of its ranks is doing. */
export function statusCommand(command: Command): void {
  addLocateOptions(command).option('--json', 'print JSON').action(showStatus);
}

async function showStatus(options: LocateOptions & { readonly json?: boolean }): Promise<void> {
  const run = await locateRun(options);
  if (run.kind === 'over') {
    const { record, folder } = run;
    const state =
      record.state === 'finished' || record.state === 'failed'
        ? record.state
        : 'dead (its coordinator is gone)';
    if (options.json) console.log(JSON.stringify({ ...record, state }));
    else
      console.log(`${record.runId}: ${state}\n  started ${record.startedAt}\n  folder  ${folder.directory}`);
    return;
  }
  try {
    const status = await run.client.status();
    console.log(options.json ? JSON.stringify(status) : describe(status));
  } finally {
    run.client.close();
  }
}

function describe(status: StatusReply): string {
  const head = [
    `${status.runId}: ${status.state}, generation ${status.generation}`,
    `  step ${status.step}/${status.steps}  loss ${status.loss.toFixed(3)}  ${formatCount(status.tokensPerS)} tokens/s  left ${formatDuration(status.secondsLeft)}`,
    `  folder ${status.runDir}`,
  ];
  if (status.workers.length === 0) return head.join('\n');
  const rows = status.workers.map((worker) => [
    `rank ${worker.rank}`,
    String(worker.pid),
    worker.processState,
    String(worker.step),
    `${formatCount(worker.residentBytes / 1e6)} MB`,
    ...speedOf(status.speeds.find(({ rank }) => rank === worker.rank)),
    worker.phase,
    worker.operation || '-',
  ]);
  return [
    ...head,
    formatTable(
      [['', 'pid', 'state', 'step', 'memory', 'own p50', 'p99', 'lost', 'phase', 'operation'], ...rows],
      {
        textColumns: [8, 9],
      },
    ),
  ].join('\n');
}

/** Its own time in a step, and the share of the steps' time that it costs to be slower than the next. */
function speedOf(speed: RankSpeed | undefined): string[] {
  if (speed === undefined) return ['-', '-', '-'];
  return [
    `${speed.p50Ms.toFixed(1)} ms`,
    `${speed.p99Ms.toFixed(1)} ms`,
    `${(100 * speed.lostShare).toFixed(0)} %`,
  ];
}
