import { z } from 'zod';
import type { DeepReadonly } from './deep-readonly.js';
import { TrainerError, unsupported } from './errors.js';
import { FLIGHT, PART_CODE, type RecordedSpan, readSlot } from './flight-span.js';
import { KIND_OF_CODE } from './operations.js';

const TRACE_FORMAT = 'locmoe-trace';
const TRACE_VERSION = 1;

/**
 * Layout of a trace file with spans of the ranks of one node, as in their flight rings: a line of JSON
 * (TraceHead), padded with spaces to a multiple of 8 bytes; then chunks of one rank each, consisting of a
 * magic number, the rank, the length of the names, and the number of words; the names, one per line in order
 * of code, padded in the same way; and the slots.
 */
const headSchema = z.object({
  runId: z.string(),
  generation: z.number(),
  node: z.number(),
  numNodes: z.number(),
  workersPerNode: z.number(),
  /** The machine whose monotonic clock plus `monotonicEpochMs` gave the times (`bootIdentity`). */
  machine: z.string(),
  monotonicEpochMs: z.number(),
});
export type TraceHead = DeepReadonly<z.output<typeof headSchema>>;

const formatSchema = z.object({ format: z.literal(TRACE_FORMAT), version: z.number() });

const CHUNK_MAGIC = 0x6b6e_6863; // "chnk"
const CHUNK_HEAD_WORDS = 4;
const ALIGNMENT = 8;

/** Parts of the name of a trace file; `step` is the earliest step in it. */
export interface TraceFileName extends Pick<TraceHead, 'generation' | 'node'> {
  readonly step: number;
}

export function traceFileName({ generation, node, step }: TraceFileName): string {
  return `generation-${generation}-node-${node}-step-${step}.trace`;
}

/** Parses the name of a trace file; null for any other name. */
export function parseTraceFileName(name: string): TraceFileName | null {
  const match = /^generation-(\d+)-node-(\d+)-step-(\d+)\.trace$/.exec(name);
  if (match === null) return null;
  const [generation, node, step] = match.slice(1);
  return { generation: Number(generation), node: Number(node), step: Number(step) };
}

export function encodeHead(head: TraceHead): Buffer {
  return padded(JSON.stringify({ format: TRACE_FORMAT, version: TRACE_VERSION, ...headSchema.parse(head) }));
}

/** @param words slots of a flight ring */
export function encodeChunk(rank: number, names: readonly string[], words: Int32Array): Buffer {
  const text = padded(names.join('\n'));
  const head = Int32Array.of(CHUNK_MAGIC, rank, text.length, words.length);
  return Buffer.concat([bytesOf(head), text, bytesOf(words)]);
}

function bytesOf(words: Int32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/** Pads the text with spaces and ends its last line. */
function padded(text: string): Buffer {
  const bytes = Buffer.byteLength(text) + 1;
  return Buffer.from(`${text}${' '.repeat((ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT)}\n`);
}

/** Spans of one rank. */
export interface TraceChunk {
  readonly rank: number;
  readonly spans: readonly RecordedSpan[];
}

/** The content of a file, restricted to the requested steps. */
export interface TraceContent {
  readonly head: TraceHead;
  readonly chunks: readonly TraceChunk[];
  /** The last step of each rank that has spans in the file. */
  readonly lastSteps: ReadonlyMap<number, number>;
}

/**
 * Reads a file. A chunk that was cut short by a kill is left out.
 *
 * @param file name for error messages
 * @throws TrainerError `BAD_INPUT` if it is not a trace file, is damaged, or is of another version
 */
export function decodeTrace(
  file: string,
  bytes: Buffer,
  isWanted: (step: number) => boolean = () => true,
): TraceContent {
  const bad = (what: string) => new TrainerError('BAD_INPUT', `${file}: ${what}`);
  const end = bytes.indexOf('\n') + 1;
  const head = parseHead(file, bytes.toString('utf8', 0, end), bad);
  const chunks: TraceChunk[] = [];
  const lastSteps = new Map<number, number>();
  for (let at = end; at + CHUNK_HEAD_WORDS * 4 <= bytes.length; ) {
    const head = [...wordsAt(bytes, at, CHUNK_HEAD_WORDS)];
    const [magic, rank, nameBytes, numWords] = head as [number, number, number, number];
    const next = at + CHUNK_HEAD_WORDS * 4 + nameBytes + numWords * 4;
    if (magic !== CHUNK_MAGIC || nameBytes < 0 || numWords < 0 || numWords % FLIGHT.words !== 0)
      throw bad(`is damaged at byte ${at}`);
    if (next > bytes.length) break;
    const names = bytes.toString('latin1', at + CHUNK_HEAD_WORDS * 4, next - numWords * 4).trimEnd();
    const words = wordsAt(bytes, next - numWords * 4, numWords);
    for (let slot = 0; slot < words.length; slot += FLIGHT.words)
      lastSteps.set(rank, Math.max(lastSteps.get(rank) ?? 0, words[slot + FLIGHT.step]!));
    chunks.push({ rank, spans: spansOf(words, names.split('\n'), isWanted, bad) });
    at = next;
  }
  return { head, chunks, lastSteps };
}

/** Copies the words, since those of a file need not be aligned in a buffer. */
function wordsAt(bytes: Buffer, offset: number, length: number): Int32Array {
  const words = new Int32Array(length);
  new Uint8Array(words.buffer).set(bytes.subarray(offset, offset + length * 4));
  return words;
}

function parseHead(file: string, line: string, bad: (what: string) => TrainerError): TraceHead {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    throw bad('is no trace file of locmoe');
  }
  const format = formatSchema.safeParse(json).data;
  if (format === undefined) throw bad('is no trace file of locmoe');
  if (format.version !== TRACE_VERSION) throw unsupported(file, format.version, TRACE_VERSION);
  const head = headSchema.safeParse(json).data;
  if (head === undefined) throw bad('is damaged: its first line lacks fields');
  return head;
}

function spansOf(
  words: Int32Array,
  names: readonly string[],
  isWanted: (step: number) => boolean,
  bad: (what: string) => TrainerError,
): RecordedSpan[] {
  const floats = new Float64Array(words.buffer, 0, words.length >> 1);
  const spans: RecordedSpan[] = [];
  for (let slot = 0; slot < words.length; slot += FLIGHT.words) {
    if (!isWanted(words[slot + FLIGHT.step]!)) continue;
    const kind = words[slot + FLIGHT.kind]!;
    if (names[words[slot + FLIGHT.name]!] === undefined || !(kind === PART_CODE || kind in KIND_OF_CODE))
      throw bad('is damaged: a span has no name or kind');
    spans.push(readSlot(words, floats, slot, (code) => names[code]!));
  }
  return spans;
}
