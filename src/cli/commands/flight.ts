import { type FlightReport, lagOf, type MergedOperation, readFlight, reportFlight } from '@locmoe/run-format';
import type { Command } from 'commander';
import { formatNumberOf, formatTable } from '../../format.js';
import { wholeNumber } from './options.js';

interface FlightOptions {
  readonly runsDir: string;
  readonly generation?: number;
  readonly last: number;
  readonly json?: boolean;
}

/** `locmoe flight`: shows the last operations of every rank when a run failed, and who lagged. */
export function flightCommand(command: Command): void {
  command
    .argument(
      '[file|run]',
      'flight file of one node, folder of such files, run folder or run id (default: the newest run)',
    )
    .option('--runs-dir <dir>', 'folder that holds the runs', 'runs')
    .option('--generation <n>', 'of the run (default: the newest with a file)', wholeNumber(1))
    .option('--last <n>', 'operations to show', wholeNumber(1), 12)
    .option('--json', 'print everything as one JSON object, all operations included')
    .addHelpText(
      'after',
      `
When a run fails or is aborted, each node agent writes the last 256 collective operations of its ranks to
RUN/flight/generation-G-node-N.json. Put files from several machines into one folder to read them together; a single
file is read alone. Times of different machines are compared as their clocks tell them.

Columns: in and out count the ranks that had begun and ended an operation when the files were written; last came the
named rank, that long after the first, or the named ones had not come (missing), or were in another operation instead
(elsewhere); took is from then to the end.`,
    )
    .action(showFlight);
}

function showFlight(place: string | undefined, { last, json, runsDir, generation }: FlightOptions): void {
  const report = reportFlight(readFlight({ place, runsDir, generation }));
  console.log(json ? JSON.stringify(withLag(report)) : describe(report, last));
}

function withLag(report: FlightReport): object {
  const ranks = report.ranks.map(({ operations: _, ...rank }) => ({ ...rank, ...lagOf(report, rank.rank) }));
  return { ...report, ranks };
}

function describe(report: FlightReport, numShown: number): string {
  const { runId, generation, reason, missingNodes, operations, summary } = report;
  const shown = operations.slice(-numShown);
  return [
    summary,
    '',
    `run ${runId}, generation ${generation}; written because of: ${reason}`,
    ...missingNodes.map((node) => `node ${node} left no file: what its ranks did is not known`),
    '',
    rankTable(report),
    '',
    lagTable(report),
    ...report.ranks.flatMap(stackOf),
    ...(shown.length === 0
      ? []
      : [
          '',
          `last ${shown.length} of ${formatNumberOf(operations.length, 'operation')}`,
          operationTable(report, shown),
        ]),
  ].join('\n');
}

function stackOf({ rank, stack = [] }: FlightReport['ranks'][number]): string[] {
  return stack.length === 0 ? [] : ['', `stack of rank ${rank}`, ...stack.map((frame) => `  ${frame}`)];
}

function rankTable({ ranks }: FlightReport): string {
  const rows = ranks.map(({ rank, node, pid, processState, step, phase, last }) => [
    `rank ${rank}`,
    String(node),
    String(pid),
    processState,
    `${step} ${phase}`,
    last === null
      ? 'no operation yet'
      : `${last.endMs === null ? 'in' : 'after'} ${last.kind} ${last.sequence} ${last.purpose}`,
  ]);
  return formatTable([['rank', 'node', 'pid', 'state', 'step', 'doing'], ...rows], {
    textColumns: [3, 4, 5],
  });
}

/** Formats a separate table of lags, since a combined one would be wider than a terminal. */
function lagTable(report: FlightReport): string {
  const rows = report.ranks.map(({ rank, waitChain }) => {
    const { timesLast, medianLateMs } = lagOf(report, rank);
    return [
      `rank ${rank}`,
      waitChain.map((each) => `rank ${each}`).join(' -> '),
      String(timesLast),
      timesLast === 0 ? '' : formatMs(medianLateMs),
    ];
  });
  return formatTable([['rank', 'waits for', 'times last', 'late (median)'], ...rows], { textColumns: [1] });
}

function operationTable({ ranks }: FlightReport, operations: readonly MergedOperation[]): string {
  const rows = operations.map((merged) => [
    `${merged.operation.kind} ${merged.sequence}`,
    merged.operation.purpose,
    String(merged.operation.step),
    String(merged.operation.layer ?? ''),
    ...[merged.entered, merged.left].map((some) => `${some.length}/${ranks.length}`),
    lastOf(merged),
    merged.tookMs === null ? '' : formatMs(merged.tookMs),
  ]);
  const head = ['operation', 'purpose', 'step', 'layer', 'in', 'out', 'came last', 'took'];
  return formatTable([head, ...rows], { textColumns: [1, 6] });
}

/** Formats the last rank as "3, +5.9 ms", or ranks that did not enter as "missing 3". */
function lastOf({ missing, differing, last }: MergedOperation): string {
  const parts = [
    missing.length > 0 && `missing ${missing.join(' ')}`,
    differing.length > 0 && `elsewhere ${differing.join(' ')}`,
    last !== null && `${last.rank}, +${formatMs(last.lateMs)}`,
  ];
  return parts.filter(Boolean).join('; ');
}

/** Formats 3.14159 as "3.1 ms", 10000 as "10.0 s". */
function formatMs(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
