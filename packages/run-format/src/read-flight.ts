import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { ERROR_CODES, TrainerError } from './errors.js';
import { FLIGHT_FORMAT, FLIGHT_VERSION, type FlightFile } from './flight-file.js';
import { OPERATION_KINDS, PHASES } from './operations.js';
import { readRegularFile } from './regular-file.js';
import { findRun } from './run-folder.js';

const count = z.number().int().nonnegative();
const time = z.number().nonnegative();

const operation = z.object({
  sequence: count,
  kind: z.enum(OPERATION_KINDS),
  purpose: z.string(),
  layer: count.optional(),
  countsHash: count.optional(),
  step: count,
  numSends: count,
  numReceives: count,
  bytesOut: count,
  bytesIn: count,
  startMs: time,
  firstByteMs: time.nullable(),
  endMs: time.nullable(),
});

const flightFile: z.ZodType<FlightFile> = z.object({
  format: z.literal(FLIGHT_FORMAT),
  version: z.literal(FLIGHT_VERSION),
  runId: z.string(),
  generation: count,
  node: count,
  numNodes: count,
  workersPerNode: count,
  reason: z.string(),
  writtenMs: time,
  ranks: z.array(
    z.object({
      rank: count,
      pid: count,
      failure: z.enum(ERROR_CODES).nullable(),
      processState: z.string(),
      step: count,
      phase: z.enum(PHASES),
      waitingFor: count.nullable(),
      operations: z.array(operation),
      stack: z.array(z.string()).optional(),
    }),
  ),
});

/**
 * Reads the file of one node.
 *
 * @throws TrainerError `BAD_INPUT` if it is no flight file, was cut short, or is of another version
 */
function readFlightFile(file: string): FlightFile {
  const bad = (what: string) => new TrainerError('BAD_INPUT', `${file}: ${what}`);
  let content: unknown;
  try {
    content = JSON.parse(readRegularFile(file).toString());
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw bad(`is no JSON: cut short or damaged (${error.message.split('\n')[0]})`);
  }
  const head = z.object({ format: z.literal(FLIGHT_FORMAT), version: z.number() }).safeParse(content);
  if (!head.success) throw bad('is no flight file of locmoe');
  if (head.data.version !== FLIGHT_VERSION)
    throw bad(
      `has version ${head.data.version}; this locmoe reads version ${FLIGHT_VERSION}: use the locmoe that wrote it`,
    );
  const parsed = flightFile.safeParse(content);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw bad(`is damaged: ${issue.path.join('.')}: ${issue.message}`);
}

export interface FlightQuery {
  /** A file, a folder of files, or a run folder or id; the newest run if absent. */
  readonly place: string | undefined;
  readonly runsDir: string;
  /** The newest with a file if absent. */
  readonly generation: number | undefined;
}

/**
 * The files of all nodes of one generation, or the one file that was named; by node.
 *
 * @throws TrainerError `BAD_INPUT` if there are none, or as `readFlightFile`
 */
export function readFlight({ place, runsDir, generation }: FlightQuery): FlightFile[] {
  if (place !== undefined && existsSync(place) && statSync(place).isFile()) return [readFlightFile(place)];
  const directory = folderOf(place, runsDir);
  const names = existsSync(directory) ? readdirSync(directory) : [];
  const found = names.flatMap((name) => {
    const match = /^generation-(\d+)-node-(\d+)\.json$/.exec(name);
    return match === null ? [] : [{ name, generation: Number(match[1]), node: Number(match[2]) }];
  });
  if (found.length === 0)
    throw new TrainerError(
      'BAD_INPUT',
      `${directory}: no flight files here; node agents write them when a run fails or is aborted`,
    );
  const wanted = generation ?? Math.max(...found.map((file) => file.generation));
  const files = found.filter((file) => file.generation === wanted).sort((a, b) => a.node - b.node);
  if (files.length === 0)
    throw new TrainerError('BAD_INPUT', `${directory}: no flight file of generation ${wanted}`);
  return files.map(({ name }) => readFlightFile(path.join(directory, name)));
}

function folderOf(place: string | undefined, runsDir: string): string {
  const isFolder = place !== undefined && existsSync(place) && statSync(place).isDirectory();
  if (isFolder && !existsSync(path.join(place, 'run.json'))) return place;
  return findRun(runsDir, place).folder.flight;
}
