import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { describeKept, findRun, readTrace, timelineOf, tracedSteps } from '@locmoe/run-format';
import { type Command, InvalidArgumentError } from 'commander';
import { asTrainerError, TrainerError } from '../../errors.js';
import { formatNumberOf } from '../../format.js';
import { chromeTrace } from '../chrome-trace.js';
import { wholeNumber } from './options.js';

interface TraceOptions {
  readonly runsDir: string;
  readonly steps?: StepRange;
  readonly generation?: number;
  readonly out?: string;
}

interface StepRange {
  readonly from: number;
  readonly to: number;
}

/** Greatest number of steps, as a larger file would be slow to read and to open. */
const MAX_STEPS = 1_000;

/** `locmoe trace`: writes the timeline of steps on all ranks, for Perfetto and chrome://tracing. */
export function traceCommand(command: Command): void {
  command
    .argument('[run]', 'run folder or run id (default: the newest run)')
    .option('--runs-dir <dir>', 'folder that holds the runs', 'runs')
    .option('--steps <range>', 'steps to write: 100, or 100..110 (default: the last that is kept)', stepRange)
    .option('--generation <n>', 'of the run (default: the newest with these steps)', wholeNumber(1))
    .option('--out <file>', 'file to write (default: trace-RUN-STEPS.json)')
    .addHelpText(
      'after',
      `
Open the file at https://ui.perfetto.dev or chrome://tracing. A process is a node, a thread a rank; an arrow leads from the
rank that was waited for. Each node agent keeps at most 32 MiB of spans, in RUN/trace/: the newest steps, and the last ones
of the generations before.`,
    )
    .action(writeTrace);
}

/** Parses "100" or "100..110". */
function stepRange(text: string): StepRange {
  const match = /^(\d+)(?:\.\.(\d+))?$/.exec(text);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? match?.[1]);
  if (match === null || from < 1 || to < from)
    throw new InvalidArgumentError('expected a step such as 100, or a range such as 100..110.');
  if (to - from >= MAX_STEPS) throw new InvalidArgumentError(`expected at most ${MAX_STEPS} steps.`);
  return { from, to };
}

function writeTrace(run: string | undefined, { runsDir, steps, generation, out }: TraceOptions): void {
  const { folder } = findRun(runsDir, run);
  const last = tracedSteps(folder.trace).findLast(
    (each) => each.generation === (generation ?? each.generation),
  );
  const range = steps ?? { from: last?.complete ?? 1, to: last?.complete ?? 1 };
  const trace = chromeTrace(timelineOf(readTrace(folder.trace, { ...range, generation })));
  const file =
    out ?? `trace-${folder.runId}-${range.from === range.to ? range.from : `${range.from}-${range.to}`}.json`;
  writeOut(file, JSON.stringify(trace));
  console.log(
    `${file}: ${formatNumberOf(trace.traceEvents.length, 'event')}; open it at https://ui.perfetto.dev or chrome://tracing`,
  );
  console.error(`kept: ${describeKept(tracedSteps(folder.trace))}`);
}

/** Writes a file, and removes a new one that a full disk leaves incomplete. */
function writeOut(file: string, text: string): void {
  const isNew = !existsSync(file);
  try {
    writeFileSync(file, text);
  } catch (error) {
    if (isNew) rmSync(file, { force: true });
    const { code, message } = asTrainerError(error);
    throw new TrainerError(code, `--out ${file}: ${message}`);
  }
}
