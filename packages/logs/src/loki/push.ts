import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { Context, Hono } from 'hono';
import { z } from 'zod';
import { AppendFile } from '../append-file.js';
import type { LogEngine } from '../logql/log-engine.js';
import { labelsText } from '../logql/series.js';
import { nsText } from '../store/instant.js';
import type { LogCatalog, LogFolder } from '../store/log-catalog.js';
import { BlockReader, type FileView, type LineSieve } from '../store/log-reader.js';
import { Pacer } from '../store/pacer.js';
import { formatPushedLine, PUSHED_SOURCE, type PushedLine } from '../store/pushed-line.js';
import { labelsKey, MAX_PUSHED_STREAMS } from '../store/streams.js';
import type { RequestGate } from './gate.js';
import { invalid, readBody } from './parameters.js';

const MAX_BODY_BYTES = 4 << 20;
const MAX_UNZIPPED_BYTES = 16 << 20;
const MAX_LINE_BYTES = 256 << 10;
const MAX_LABELS = 20;
const MAX_LABEL_CHARACTERS = 1024;
/** How far a line's time may be ahead of this machine's clock. */
const GRACE_MS = 600_000;

const pushSchema = z.object({
  streams: z.array(
    z.object({
      stream: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string().max(MAX_LABEL_CHARACTERS)),
      // Structured metadata, the third element, is accepted and discarded.
      values: z.array(
        z.tuple([z.string().regex(/^\d{1,19}$/), z.string()]).rest(z.record(z.string(), z.string())),
      ),
    }),
  ),
});
type PushedStream = z.output<typeof pushSchema>['streams'][number];

/**
 * `POST /loki/api/v1/push`: lines from other programs. The label `run` names the run in whose log folder they
 * are kept, in one file of bounded size.
 */
export function addPushRoute(routes: Hono, catalog: LogCatalog, engine: LogEngine, gate: RequestGate): void {
  let lastPush: Promise<unknown> = Promise.resolve();
  routes.post(
    '/loki/api/v1/push',
    gate.guard(async (c) => {
      const streams = await readStreams(c);
      const runs = new Map(catalog.runs().map((folder) => [folder.run, folder]));
      const byRun = new Map<LogFolder, PushedLine[]>();
      // All or nothing: every stream is checked before any is written.
      for (const stream of streams) {
        const folder = folderOf(stream, runs);
        byRun.set(folder, [...(byRun.get(folder) ?? []), ...linesOf(stream, folder)]);
      }
      // One after the other: of two equal ones the second must see the first.
      const push = lastPush.then(() => keepPushed(engine, byRun));
      lastPush = push.catch(() => undefined);
      await push;
      return c.body(null, 204);
    }),
  );
}

/** Requires the JSON content type, which a page of another origin can send only after a CORS preflight. */
async function readStreams(c: Context): Promise<PushedStream[]> {
  const type = c.req.header('content-type') ?? '';
  if (!/^application\/json\b/i.test(type))
    throw invalid(`Content-Type ${type || '(none)'} is not supported: push JSON as application/json`);
  const body = await readBody(c, MAX_BODY_BYTES);
  let parsed: unknown;
  try {
    const isGzipped = c.req.header('content-encoding') === 'gzip';
    const text = isGzipped ? await promisify(gunzip)(body, { maxOutputLength: MAX_UNZIPPED_BYTES }) : body;
    parsed = JSON.parse(text.toString('utf8'));
  } catch (error) {
    throw invalid(`push: the body cannot be read: ${(error as Error).message.slice(0, 200)}`);
  }
  const result = pushSchema.safeParse(parsed);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    throw invalid(`push: ${issue.path.join('.') || 'body'}: ${issue.message}`);
  }
  return result.data.streams.map(({ stream, values }) => ({ stream: withoutEmpty(stream), values }));
}

/** Drops empty labels, which Loki treats as absent. */
function withoutEmpty(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ''));
}

function folderOf({ stream }: PushedStream, runs: ReadonlyMap<string, LogFolder>): LogFolder {
  const folder = runs.get(stream.run ?? '');
  if (folder === undefined)
    throw invalid(
      `push: the label run must name a run of this server, not ${JSON.stringify(stream.run ?? '').slice(0, 100)}`,
    );
  return folder;
}

/** @throws LogsError `BAD_INPUT` in the words of Loki */
function linesOf({ stream, values }: PushedStream, { service }: LogFolder): PushedLine[] {
  const selector = labelsText(new Map(Object.entries(stream)));
  const numLabels = Object.keys(stream).length;
  if (numLabels > MAX_LABELS)
    throw invalid(`entry for stream '${selector}' has ${numLabels} label names; limit ${MAX_LABELS}`);
  const latestNs = BigInt(Date.now() + GRACE_MS) * 1_000_000n;
  for (const [ns, line] of values) {
    if (BigInt(ns) > latestNs)
      throw invalid(`entry for stream '${selector}' has timestamp too new: ${timeText(ns)}`);
    const size = Buffer.byteLength(line);
    if (size > MAX_LINE_BYTES)
      throw invalid(
        `Max entry size '${MAX_LINE_BYTES}' bytes exceeded for stream '${selector}' while adding an entry with length '${size}' bytes`,
      );
  }
  const labels = { service_name: service, ...stream };
  return values.map(([ns, line]) => ({ ns: String(BigInt(ns)), labels, line }));
}

/** RFC 3339, in seconds. */
function timeText(ns: string): string {
  return new Date(Number(BigInt(ns) / 1_000_000n)).toISOString().replace(/\.\d+/, '');
}

/** Limit for all pushed lines of a run. */
const MAX_FILE_BYTES = 64 << 20;
const MAX_SECONDS = 30;
const ALL_LINES: LineSieve = { needle: null, begin: () => undefined, mayPass: () => true };

/**
 * Appends pushed lines to the files of their runs. As in Loki a line that its stream has already, with the same
 * time and text, is kept once.
 *
 * @throws LogsError `BAD_INPUT` beyond the limits of a run; then nothing is written
 */
async function keepPushed(
  engine: LogEngine,
  byRun: ReadonlyMap<LogFolder, readonly PushedLine[]>,
): Promise<void> {
  const fresh: [LogFolder, PushedLine[]][] = [];
  for (const [folder, lines] of byRun) {
    const views = await engine.open([{ name: 'run', op: '=', value: folder.run }], Number.NEGATIVE_INFINITY);
    const view = views.find(({ file }) => file.isPushed);
    assertFewStreams(folder, lines, view);
    fresh.push([folder, await newLines(lines, view)]);
  }
  for (const [folder, lines] of fresh) append(folder, lines);
}

function assertFewStreams({ run }: LogFolder, lines: readonly PushedLine[], view?: FileView): void {
  const keys = new Set(view?.file.streams.all.map(({ labels }) => labelsKey(labels)));
  for (const { labels } of lines) keys.add(labelsKey(new Map(Object.entries(labels))));
  if (keys.size > MAX_PUSHED_STREAMS)
    throw invalid(`push: run ${run} would have more than ${MAX_PUSHED_STREAMS} streams of pushed lines`);
}

/** Each line once, without those that the file has. */
async function newLines(lines: readonly PushedLine[], view?: FileView): Promise<PushedLine[]> {
  const fresh = new Map(
    lines.map((line) => [lineKey(line.ns, new Map(Object.entries(line.labels)), line.line), line]),
  );
  if (view === undefined) return [...fresh.values()];
  const timesMs = lines.map(({ ns }) => Number(BigInt(ns) / 1_000_000n));
  const firstMs = timesMs.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const lastMs = timesMs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const reader = new BlockReader(new Pacer({ limitMs: 1000 * MAX_SECONDS }));
  try {
    for (const block of view.blocks) {
      if (block.maxMs < firstMs || block.minMs > lastMs) continue;
      await reader.read(view, block, ALL_LINES, (line) => {
        const text = line.bytes.toString('utf8', line.from, line.to);
        fresh.delete(lineKey(nsText(line), line.stream.labels, text));
      });
    }
  } finally {
    reader.close();
  }
  return [...fresh.values()];
}

function lineKey(ns: string, labels: ReadonlyMap<string, string>, line: string): string {
  return `${ns} ${labelsKey(labels)} ${line}`;
}

function append({ run, directory }: LogFolder, lines: readonly PushedLine[]): void {
  const text = lines.map((line) => `${formatPushedLine(line)}\n`).join('');
  mkdirSync(directory, { recursive: true });
  const file = new AppendFile(path.join(directory, `${PUSHED_SOURCE}.ndjson`));
  try {
    if (file.size + Buffer.byteLength(text) > MAX_FILE_BYTES)
      throw invalid(`push: run ${run} has its ${MAX_FILE_BYTES} bytes of pushed lines`);
    file.append(text);
  } finally {
    file.close();
  }
}
