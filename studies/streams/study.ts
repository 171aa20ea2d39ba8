import path from 'node:path';
import { STEP_PARTS, type StepPart } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { median, spreadOf, sum } from '../../packages/bench/src/statistics.js';
import { runOwn } from '../../packages/bench/src/step/own-run.js';
import { type StepRun, stepMsOf } from '../../packages/bench/src/step/step-run.js';
import { lengthSettings } from '../../packages/bench/src/step/verify.js';
import { count, text } from '../kit/options.js';
import { study } from '../kit/study.js';
import { signedPercent, withSpread } from '../kit/text.js';

const STREAMS = ['grpc-js', 'direct'] as const;
type Stream = (typeof STREAMS)[number];
/** In these parts of a step a rank moves bytes or waits for others. */
const TOGETHER: readonly StepPart[] = ['exchange', 'allReduce', 'waiting'];
const LAYOUTS = ['2x1', '2x2'];
const WIDTHS = [1, 2];

/** The runs of one model on one layout, turn by turn. */
interface Cell {
  /** d of the model. */
  readonly width: number;
  /** Nodes x workers per node. */
  readonly layout: string;
  readonly runs: Readonly<Record<Stream, readonly StepRun[]>>;
}

interface Figures {
  readonly recipe: string;
  readonly steps: number;
  readonly turns: number;
  readonly cells: readonly Cell[];
}

export default study({
  name: 'streams',
  description:
    'a training step with the streams between nodes read directly from the socket and by grpc-js, in turns',
  quick: 'one turn',
  options: {
    config: text('<file|recipe>', 'what to train', 'small'),
    turns: count('turns of each', 3, { quick: 1 }),
    steps: count('steps of a run', 16, { least: 8 }),
  },

  async measure({ options: { config, turns, steps }, workDir, dataDir, signal }): Promise<Figures> {
    const { model } = loadConfig(config, { sets: [] });
    const cells: Cell[] = [];
    for (const width of WIDTHS)
      for (const layout of LAYOUTS) {
        const [nodes, workersPerNode] = layout.split('x');
        const sets = [
          ...lengthSettings(steps),
          `model.dModel=${width * model.dModel}`,
          `model.dFeedForward=${width * model.dFeedForward}`,
          `cluster.nodes=${nodes}`,
          `cluster.workersPerNode=${workersPerNode}`,
        ];
        const runs: Record<Stream, StepRun[]> = { 'grpc-js': [], direct: [] };
        for (let turn = 0; turn < turns; turn++)
          for (const stream of turn % 2 === 0 ? STREAMS : [...STREAMS].reverse()) {
            signal.throwIfAborted();
            const folder = path.join(workDir, `${width}-${layout}-${stream}`);
            const run = await runOwn({
              config,
              sets: [...sets, `cluster.stream=${stream}`],
              folder,
              dataDir,
            });
            console.log(`d = ${width * model.dModel}, ${layout}, ${stream}: ${stepMsOf(run).toFixed(0)} ms`);
            runs[stream].push(run);
          }
        assertSameBits(runs);
        cells.push({ width: width * model.dModel, layout, runs });
      }
    return { recipe: config, steps, turns, cells };
  },

  report: ({ recipe, steps, turns, cells }) => ({
    view: {
      recipe,
      steps,
      turns,
      rows: cells.flatMap(({ width, layout, runs }) =>
        [
          row('step', stepMsOf),
          row('on other ranks', ({ partsMs }) => sum(TOGETHER.map((part) => partsMs[part]))),
          ...STEP_PARTS.map((part) => row(part, ({ partsMs }) => partsMs[part])),
        ].map((of) => ({ width, layout, ...of(runs) })),
      ),
    },
  }),
});

/** @throws Error if the runs of a cell did not all train the same, bit for bit */
function assertSameBits(runs: Readonly<Record<Stream, readonly StepRun[]>>): void {
  const [first, ...others] = Object.values(runs).flat();
  for (const { losses } of others)
    if (losses.some((loss, i) => !Object.is(loss, first!.losses[i])))
      throw new Error(`the losses of two runs differ: ${losses.join(' ')}, and ${first!.losses.join(' ')}`);
}

function row(what: string, msOf: (run: StepRun) => number) {
  const ms = (value: number) => value.toFixed(value < 10 ? 1 : 0);
  return (runs: Readonly<Record<Stream, readonly StepRun[]>>) => {
    const [grpc, direct] = [runs['grpc-js'].map(msOf), runs.direct.map(msOf)];
    return {
      what,
      grpc: withSpread(spreadOf(grpc), ms),
      direct: withSpread(spreadOf(direct), ms),
      change: signedPercent(median(direct) / median(grpc) - 1),
    };
  };
}
