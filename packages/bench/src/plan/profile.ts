import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { TrainerError } from 'locmoe/internal/errors';
import { locmoeCommand } from 'locmoe/internal/os/command-line';
import { ROUTER_NAMES } from 'locmoe/internal/routing/index';
import { z } from 'zod';

const cost = z.number().min(0);

const computeSchema = z.strictObject({
  flopsPerS: z.number().positive().describe('matrix products of one process'),
  touchedNs: cost.describe('for each element that other operations read or write'),
  operationUs: cost.describe('for each operation that is called'),
  gradientNs: cost.describe('backward pass, for each parameter: its gradient is copied out'),
  parameterNs: cost.describe('optimizer, for each parameter'),
  summedNs: cost.describe('for each number that a reduction adds up'),
  routerTokenNs: z
    .partialRecord(z.enum(ROUTER_NAMES), cost)
    .describe('for each token of a sparse layer, by router: what its gate does outside TensorFlow'),
  candidateNs: cost.describe('for each candidate of all ranks among which experts choose'),
  slowdown: z
    .array(z.strictObject({ processesPerCore: z.number().positive(), factor: z.number().positive() }))
    .min(1)
    .describe(
      'time of a lockstep step over what it would be if cores were shared without loss, by ascending occupancy',
    ),
});

const exchangeSchema = z.strictObject({
  wakeUs: cost.describe('a collective step inside a node, without messages and bytes'),
  hopUs: cost.describe('a collective step between nodes, through both agents'),
  messageUs: cost.describe('a message put into a ring or taken out of it'),
  byteNs: cost.describe('a byte put into a ring or taken out of it by a worker'),
  frameUs: cost.describe('a frame that an agent sends or receives'),
  streamByteNs: cost.describe('a byte that an agent sends or receives'),
});

const profileSchema = z.strictObject({
  machine: z.string().min(1),
  date: z.string(),
  command: z.string(),
  cores: z.number().positive(),
  compute: computeSchema,
  exchange: exchangeSchema,
  processBytes: cost.describe('resident memory of a worker that has trained, without its model'),
});

/** Machine profile: the coefficients of the cost model, measured by `locmoe bench plan` or assumed. */
export type MachineProfile = z.output<typeof profileSchema>;
export type ComputeProfile = MachineProfile['compute'];
export type ExchangeProfile = MachineProfile['exchange'];

const SHIPPED = fileURLToPath(new URL('../../profile/calibration.json', import.meta.url));

/** File of the calibration in the work folder of `locmoe bench plan`. */
export const CALIBRATION_FILE = 'calibration.json';
/** Default work folder of `locmoe bench plan`. */
const DEFAULT_WORK_DIR = 'runs/plan';

const measure = () => `measure one with: ${locmoeCommand(['bench', 'plan', '--calibrate'])}`;

/**
 * Reads a calibration: the given one, otherwise that of the last `locmoe bench plan` here, otherwise the
 * shipped one.
 *
 * @throws TrainerError `BAD_INPUT` if it is missing or malformed
 */
export function readProfile(given: string | undefined): MachineProfile {
  const own = path.join(DEFAULT_WORK_DIR, CALIBRATION_FILE);
  const file = given ?? [own, SHIPPED].find((each) => existsSync(each));
  if (file === undefined)
    throw new TrainerError('BAD_INPUT', `no calibration of this machine in ${own}; ${measure()}`);
  const label = given === undefined ? file : `--calibration ${given}`;
  const parsed = profileSchema.safeParse(readJson(file, label));
  if (parsed.success) return parsed.data;
  const { path: field, message } = parsed.error.issues[0]!;
  throw new TrainerError(
    'BAD_INPUT',
    `${label}: no calibration: ${field.join('.') || 'the file'}: ${message}; ${measure()}`,
  );
}

function readJson(file: string, label: string): unknown {
  try {
    return JSON.parse(readRegularFile(file).toString('utf8'));
  } catch (error) {
    throw new TrainerError('BAD_INPUT', `${label}: cannot be read (${(error as Error).message})`);
  }
}
