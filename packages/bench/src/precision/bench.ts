import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { EXIT, TrainerError } from 'locmoe/internal/errors';
import { whyNoBfloat16 } from 'locmoe/internal/ops/kernels/choose-kernels';
import { readRecords } from 'locmoe/internal/run/metrics-record';
import { meanLoss } from 'locmoe/internal/run/validation-loss';
import { makeBenchFolders } from '../folders.js';
import { machine } from '../machine.js';
import { signedPercent, table } from '../markdown.js';
import { runTraining } from '../training.js';

export interface BenchPrecisionOptions {
  /** Recipe or config file. */
  readonly config: string;
  readonly set: readonly string[];
  readonly seeds: number;
  readonly steps: number;
  readonly workDir: string;
  /** Output folder of the report. */
  readonly out: string;
  readonly dataDir: string;
  /** The command line, quoted in the report. */
  readonly command: string;
}

/** Greatest difference of the losses, as a share. */
const TOLERANCE = 0.005;
const PRECISIONS = ['float32', 'bfloat16'] as const;

/**
 * `locmoe bench precision`: the same trainings in float32 and in bfloat16, and what that does to the validation loss.
 *
 * @returns the exit code; that of a failed run if a difference exceeds the tolerance
 * @throws TrainerError `NO_RESOURCE` where bfloat16 cannot be had; as `runTraining`
 */
export async function benchPrecision(options: BenchPrecisionOptions): Promise<number> {
  const why = whyNoBfloat16();
  if (why !== null) throw new TrainerError('NO_RESOURCE', `bfloat16: ${why}`);
  makeBenchFolders(options);
  const rows: { seed: number; float32: number; bfloat16: number; difference: number }[] = [];
  for (let seed = 1; seed <= options.seeds; seed++) {
    const losses: number[] = [];
    for (const precision of PRECISIONS) {
      const loss = await lossOf(options, seed, precision);
      console.log(
        `seed ${seed}, ${precision}: validation loss ${loss.toFixed(4)} after ${options.steps} steps`,
      );
      losses.push(loss);
    }
    const [float32, bfloat16] = losses;
    rows.push({ seed, float32, bfloat16, difference: bfloat16 / float32 - 1 });
  }
  const worst = Math.max(...rows.map(({ difference }) => Math.abs(difference)));
  const figures = {
    steps: options.steps,
    runs: rows,
    worst,
    machine: machine(),
    command: options.command,
  };
  writeFileSync(path.join(options.out, 'precision.json'), `${JSON.stringify(figures, null, 2)}\n`);
  writeFileSync(path.join(options.out, 'precision.md'), markdownOf(options, rows, worst));
  console.log(
    `greatest difference: ${(100 * worst).toFixed(2)} %; report: ${path.join(options.out, 'precision.md')}`,
  );
  return worst <= TOLERANCE ? EXIT.done : EXIT.failedRun;
}

async function lossOf(
  { config, set, steps, workDir, dataDir }: BenchPrecisionOptions,
  seed: number,
  precision: string,
): Promise<number> {
  const run = await runTraining({
    config,
    sets: [
      ...set,
      ...[`seed=${seed}`, `train.precision=${precision}`, `train.steps=${steps}`],
      ...[`train.validateEvery=${steps}`, `train.checkpointEvery=${steps}`, 'train.validationSequences=64'],
    ],
    folder: path.resolve(workDir, `${precision}-${seed}`),
    dataDir,
  });
  const validations = readRecords(run.metrics).filter((record) => record.type === 'validation');
  return meanLoss(validations.at(-1)!);
}

function markdownOf(
  { config, steps, command }: BenchPrecisionOptions,
  rows: readonly { seed: number; float32: number; bfloat16: number; difference: number }[],
  worst: number,
): string {
  return [
    '# Training in bfloat16',
    `The recipe \`${config}\` for ${steps} steps, in float32 and with \`train.precision: bfloat16\`, which rounds the operands of products,`,
    `what is kept for the backward and the rows that ranks exchange. Validation loss in nats per token; ${(100 * TOLERANCE).toFixed(1)} % is allowed,`,
    `${(100 * worst).toFixed(2)} % is the greatest.`,
    '',
    table([
      ['seed', 'float32', 'bfloat16', 'difference'],
      ...rows.map(({ seed, float32, bfloat16, difference }) => [
        String(seed),
        float32.toFixed(4),
        bfloat16.toFixed(4),
        signedPercent(difference),
      ]),
    ]),
    '',
    `Made by \`${command}\` on ${machine()}.`,
    '',
  ].join('\n');
}
