import { computeOnOneThread } from '@locmoe/bench/internal/one-thread';
import { programsHere } from '@locmoe/bench/internal/step/bench';
import { LEAST_STEPS } from '@locmoe/bench/internal/step/step-run';
import { describePeer, findTorch } from '@locmoe/bench/internal/step/torch-peer';
import { runTurns } from '@locmoe/bench/internal/step/turns';
import { wholeNumber } from 'locmoe/internal/cli/commands/options';
import { count, maybe, SET, text, words } from '../kit/options.js';
import { originHere, study } from '../kit/study.js';
import { figuresOf } from './figures.js';
import { keepMachine, type MachineFigures, processorHere, readMachines } from './history.js';
import { reportOf } from './report.js';
import { measureSgemm } from './sgemm.js';
import { planTurns, scopeOf } from './turns.js';

/** The last measurement of each machine, in the order of `readMachines`. */
interface Machines {
  readonly machines: readonly MachineFigures[];
}

export default study({
  name: 'step',
  description:
    'a training step of ours against the same one in PyTorch with Gloo, by model, layout and size, in turns and verified to do the same',
  quick: 'two turns of the small model on 2x2',
  options: {
    config: text('<file|recipe>', 'the small model', 'small'),
    set: SET,
    turns: count('turns of the headline cells', 3, { quick: 2 }),
    steps: maybe(
      wholeNumber(LEAST_STEPS),
      'steps of a timed run; without it 12 and 8 by model, 6 where a size is changed',
    ),
    verifySteps: count('steps whose losses must agree before anything else is timed', 20, {
      least: LEAST_STEPS,
    }),
    only: words(
      'models (small, medium), layouts (1x1, 2x1, 2x2), locmoe-plus and sizes (width, experts, sequence, batch)',
      { quick: ['small', '2x2', 'locmoe-plus'] },
    ),
  },
  isPart: ({ only }) => only.length > 0,

  /** @throws NotTheSame if losses differ; TrainerError as `runTurns`, and `NO_RESOURCE` without PyTorch */
  async measure({ options, workDir, out, dataDir, signal }): Promise<Machines> {
    computeOnOneThread();
    const peer = findTorch();
    console.log(describePeer(peer));
    const scope = scopeOf(options.only);
    const planned = planTurns(scope, options, programsHere(peer), options);
    const sgemmFlopsPerS = await measureSgemm(signal);
    console.log(`matrix products: ${(sgemmFlopsPerS / 1e9).toFixed(0)} GFLOP/s on all cores`);
    const turns = await runTurns(planned, { peer, workDir, out, dataDir });
    const figures = figuresOf({ recipe: options, peer, sgemmFlopsPerS, cells: scope.cells, turns });
    const measuredAt = new Date().toISOString();
    keepMachine(out, { ...figures, ...originHere(), processor: processorHere(), measuredAt });
    return { machines: readMachines(out) };
  },

  read(_, out) {
    const machines = readMachines(out);
    const { machine = 'no machine yet', command = 'npm run study -- step' } = machines[0] ?? {};
    return { machines, machine, command };
  },

  report: ({ machines }) => reportOf(machines),
});
