import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { DeepReadonly } from './deep-readonly.js';
import { ERROR_CODES, TrainerError, unsupported } from './errors.js';
import { operationSchema } from './flight-span.js';
import { PHASES } from './operations.js';
import { readRegularFile } from './regular-file.js';
import { findRun } from './run-folder.js';

const FLIGHT_FORMAT = 'locmoe-flight';
const FLIGHT_VERSION = 1;

const count = z.int().nonnegative();

const rankSchema = z.object({
  rank: count,
  pid: count,
  /** The error that the rank had reported or met by then; null if none. */
  failure: z.enum(ERROR_CODES).nullable(),
  /** Letter of /proc/PID/stat: R, S, D, T (stopped), Z; X after the process has ended. */
  processState: z.string(),
  step: count,
  phase: z.enum(PHASES),
  /** The rank whose bytes it last waited for; null if it is in no operation. */
  waitingFor: count.nullable(),
  /** The rank's last operations, oldest first. */
  operations: z.array(operationSchema),
  /** Stack of a stuck rank, innermost first; empty if it ran no JavaScript, absent if it was not stuck. */
  stack: z.array(z.string()).optional(),
});
/** A rank at the time its node's file was written. */
export type RankFlight = DeepReadonly<z.output<typeof rankSchema>>;

const fileSchema = z.object({
  runId: z.string(),
  generation: count,
  node: count,
  numNodes: count,
  workersPerNode: count,
  /** Why the file was written. */
  reason: z.string(),
  /** ms since 1970, by the node's clock. */
  writtenMs: z.number().nonnegative(),
  ranks: z.array(rankSchema),
});
/** The last operations of a node's ranks, written by its agent when the run fails. */
export type FlightFile = DeepReadonly<z.output<typeof fileSchema>>;

function flightFileName({ generation, node }: Pick<FlightFile, 'generation' | 'node'>): string {
  return `generation-${generation}-node-${node}.json`;
}

/**
 * Writes the file into `directory`, which is created if missing. The file is renamed into place, so that a
 * reader finds either the complete file or none.
 */
export async function writeFlightFile(directory: string, file: FlightFile): Promise<void> {
  const target = path.join(directory, flightFileName(file));
  await mkdir(directory, { recursive: true });
  try {
    await writeFile(
      `${target}.tmp`,
      JSON.stringify({ format: FLIGHT_FORMAT, version: FLIGHT_VERSION, ...file }),
    );
    await rename(`${target}.tmp`, target);
  } catch (error) {
    await rm(`${target}.tmp`, { force: true });
    throw error;
  }
}

/**
 * Reads the file of one node.
 *
 * @throws TrainerError `BAD_INPUT` if it is not a flight file, was cut short, or is of another version
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
  if (head.data.version !== FLIGHT_VERSION) throw unsupported(file, head.data.version, FLIGHT_VERSION);
  const parsed = fileSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw bad(`is damaged: ${issue.path.join('.')}: ${issue.message}`);
}

export interface FlightQuery {
  /** A file, a folder of files, or a run folder or id; the newest run if absent. */
  readonly place: string | undefined;
  readonly runsDir: string;
  /** Generation; if absent, the newest with a file. */
  readonly generation: number | undefined;
}

/**
 * Returns the files of all nodes of one generation, or the one file that was named; by node.
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
