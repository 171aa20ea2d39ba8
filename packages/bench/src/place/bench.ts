import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type RunFolder, readRecords } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { EXIT, TrainerError } from 'locmoe/internal/errors';
import { formatTable } from 'locmoe/internal/format';
import { type BenchFolders, machine, makeBenchFolders, writeFigures } from '../folders.js';
import { planInput } from '../plan/inputs.js';
import { mean, median } from '../statistics.js';
import { runTraining } from '../training.js';
import { type PlaceReport, placeReport } from './place.js';

export interface BenchPlaceOptions extends BenchFolders {
  readonly config: string;
  readonly set: readonly string[];
  /** Nodes x workers per node. */
  readonly layouts: readonly string[];
  readonly routers: readonly string[];
  /** Steps before the placement, and again after it. */
  readonly steps: number;
  readonly calibration?: string;
  readonly dataDir: string;
  readonly json?: true;
}

/** Sequences are on the ranks of their experts: with mixed text, all placements send equally many bytes. */
const SETS = [
  'data.placement=domain',
  'moe.expertGroups=1',
  'moe.numExperts=16',
  'moe.capacityFactor=1.25',
  // The schedule must not depend on the end of the run, nor the steps on trials of the overlap degree.
  'train.schedule=constant',
  'cluster.overlapDegree=1',
  'train.validationSequences=1',
  'train.validateEvery=1000000',
];
/** Steps of a run before it is timed. */
const WARM_UP = 5;
const MAX_LOAD = 1.1;

/** A prediction and its measurement. */
interface Checked {
  readonly predicted: number;
  readonly measured: number;
  /** Predicted divided by measured, minus one. */
  readonly error: number;
}

interface CheckedBytes {
  /** The recorded steps show the prediction's own error; in later steps the routing has changed as well. */
  readonly recorded: Checked;
  readonly contiguous: Checked;
  readonly placed: Checked;
}

interface PlaceCheck {
  readonly layout: string;
  readonly router: string;
  /** The predictions are based on this report, whose counts come from the steps before the placement. */
  readonly report: Omit<PlaceReport, 'placement'>;
  /** Mean bytes per step. */
  readonly bytesOtherNode: CheckedBytes;
  readonly bytesSameNode: CheckedBytes;
  /**
   * Median. The prediction of the contiguous step is the planned time; that of the placed step is the
   * measured contiguous time multiplied by the ratio of both plans.
   */
  readonly stepMs: { readonly contiguous: Checked; readonly placed: Checked };
}

/**
 * `locmoe bench place`: trains with consecutive experts and records routes, places the experts, then
 * continues with consecutive and with placed experts; prints predicted and measured bytes and step times and
 * writes `place.json`.
 *
 * @returns the exit code of the command
 * @throws TrainerError `BAD_CONFIG` before anything runs, `INTERNAL` if a run failed, `INTERRUPTED`
 */
export async function benchPlace(options: BenchPlaceOptions): Promise<number> {
  const { layouts, routers, config, out, json, steps } = options;
  const planned = layouts.flatMap((layout) =>
    routers.map((router) => ({ layout, router, sets: setsOf(options, layout, router) })),
  );
  for (const { sets } of planned) loadConfig(config, { sets });
  makeBenchFolders(options);
  const checks: PlaceCheck[] = [];
  for (const { layout, router, sets } of planned) {
    if (!json) console.log(`[${checks.length + 1}/${planned.length}] ${layout}, ${router}`);
    checks.push(await checkPlacement(options, layout, router, sets));
  }
  const figures = { machine: machine(), config, steps, checks };
  if (json) console.log(JSON.stringify(figures));
  else {
    console.log(`\n${machine()}\n${tableOf(checks)}`);
    writeFigures(out, 'place.json', figures);
  }
  return EXIT.done;
}

function setsOf({ set, steps }: BenchPlaceOptions, layout: string, router: string): string[] {
  const [, nodes, workersPerNode] = /^(\d+)x(\d+)$/.exec(layout) ?? [];
  if (nodes === undefined)
    throw new TrainerError('BAD_INPUT', `--layouts ${layout}: write nodes x workers of each, as in 2x2,4x2`);
  return [
    ...SETS,
    ...set,
    `moe.router=${router}`,
    `cluster.nodes=${nodes}`,
    `cluster.workersPerNode=${workersPerNode}`,
    `train.steps=${steps}`,
    `train.checkpointEvery=${steps}`,
  ];
}

async function checkPlacement(
  options: BenchPlaceOptions,
  layout: string,
  router: string,
  sets: readonly string[],
): Promise<PlaceCheck> {
  const { config, dataDir, steps, workDir, calibration } = options;
  const train = (name: string, more: readonly string[], resume?: string): Promise<RunFolder> =>
    runTraining({
      config,
      sets: [...sets, ...more],
      folder: path.resolve(workDir, `${layout}-${router}-${name}`),
      dataDir,
      ...(resume !== undefined && { more: ['--resume', resume, '--fork'] }),
    });
  const half = Math.floor(steps / 2);
  const recorded = await train('recorded', [`train.recordRoutes={every: 1, from: ${half + 1}, share: 1}`]);
  const input = planInput({
    config: path.join(recorded.directory, 'config.json'),
    set: ['train.recordRoutes=null'],
    sharedMachine: true,
    json: false,
    ...(calibration !== undefined && { calibration }),
  });
  const { placement, ...report } = await placeReport(input, {
    places: [recorded.directory],
    from: 0,
    maxLoad: MAX_LOAD,
  });
  const file = path.resolve(workDir, `${layout}-${router}.json`);
  writeFileSync(file, JSON.stringify(placement));
  const checkpoint = path.join(recorded.checkpoints, `step-${String(steps).padStart(6, '0')}`);
  const twice = [`train.steps=${2 * steps}`, 'train.recordRoutes=null'];
  const [contiguous, placed] = [
    measuredOf(await train('contiguous', twice, checkpoint)),
    measuredOf(await train('placed', [...twice, `moe.placement=${file}`], checkpoint)),
  ];
  // The next steps have other sequences than those used to find the placement.
  const expected = report.savedOnOthers ?? report.saved;
  const before = measuredOf(recorded, half);
  const ofBytes = (name: 'bytesOtherNode' | 'bytesSameNode') => ({
    recorded: checked(report.contiguous[name], before[name]),
    contiguous: checked(report.contiguous[name], contiguous[name]),
    placed: checked(report.contiguous[name] - expected[name], placed[name]),
  });
  return {
    layout,
    router,
    report,
    bytesOtherNode: ofBytes('bytesOtherNode'),
    bytesSameNode: ofBytes('bytesSameNode'),
    stepMs: {
      contiguous: checked(report.contiguous.stepMs, contiguous.stepMs),
      placed: checked(contiguous.stepMs * (1 - expected.stepMs / report.contiguous.stepMs), placed.stepMs),
    },
  };
}

/** @param from step before the first one that counts */
function measuredOf({ metrics }: RunFolder, from = 0) {
  const steps = readRecords(metrics)
    .filter((record) => record.type === 'step')
    .filter(({ step }) => step > from);
  const timed = steps.slice(Math.min(WARM_UP, Math.floor(steps.length / 2)));
  return {
    bytesOtherNode: mean(steps.map((step) => step.bytesOtherNode)),
    bytesSameNode: mean(steps.map((step) => step.bytesSameNode)),
    stepMs: median(timed.map((step) => step.stepMs)),
  };
}

function checked(predicted: number, measured: number): Checked {
  return { predicted, measured, error: measured === 0 ? 0 : predicted / measured - 1 };
}

function tableOf(checks: readonly PlaceCheck[]): string {
  const cells = ({ predicted, measured, error }: Checked, format: (value: number) => string) => [
    format(predicted),
    format(measured),
    `${(100 * error).toFixed(1)} %`,
  ];
  const mega = (bytes: number) => (bytes / 1e6).toFixed(3);
  const ms = (value: number) => value.toFixed(1);
  return formatTable([
    [
      'layout',
      'router',
      'experts',
      'between nodes, MB: predicted',
      'measured',
      'error',
      'step, ms: predicted',
      'measured',
      'error',
    ],
    ...checks.flatMap(({ layout, router, bytesOtherNode, stepMs }) =>
      (['recorded', 'contiguous', 'placed'] as const).map((experts) => [
        layout,
        router,
        experts,
        ...cells(bytesOtherNode[experts], mega),
        ...(experts === 'recorded' ? ['', '', ''] : cells(stepMs[experts], ms)),
      ]),
    ),
  ]);
}
