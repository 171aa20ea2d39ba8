import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { Context, Hono } from 'hono';
import { z } from 'zod';
import { AppendFile } from '../append-file.js';
import type { LogEngine } from '../logql/log-engine.js';
import type { LogCatalog, LogFolder } from '../store/log-catalog.js';
import { formatPushedLine, PUSHED_SOURCE } from '../store/pushed-line.js';
import { labelsKey, MAX_PUSHED_STREAMS } from '../store/streams.js';
import type { RequestGate } from './gate.js';
import { invalid } from './parameters.js';

const MAX_BODY_BYTES = 4 << 20;
const MAX_UNZIPPED_BYTES = 16 << 20;
const MAX_LINE_BYTES = 256 << 10;
const MAX_LABELS = 20;
const MAX_LABEL_CHARACTERS = 1024;
/** Of all pushed lines of a run. */
const MAX_FILE_BYTES = 64 << 20;

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
  routes.post(
    '/loki/api/v1/push',
    gate.guard(async (c) => {
      const { streams } = await readBody(c);
      const runs = new Map(catalog.runs().map((folder) => [folder.run, folder]));
      const byRun = new Map<LogFolder, PushedStream[]>();
      // All or nothing: every stream is checked before any is written.
      for (const stream of streams) {
        const folder = folderOf(stream, runs);
        byRun.set(folder, [...(byRun.get(folder) ?? []), stream]);
      }
      for (const [folder, pushed] of byRun) await assertFewStreams(engine, folder, pushed);
      for (const [folder, pushed] of byRun) append(folder, pushed);
      return c.body(null, 204);
    }),
  );
}

/** Requires the JSON content type, which a page of another origin can send only after a CORS preflight. */
async function readBody(c: Context): Promise<z.output<typeof pushSchema>> {
  const type = c.req.header('content-type') ?? '';
  if (!/^application\/json\b/i.test(type))
    throw invalid(`Content-Type ${type || '(none)'} is not supported: push JSON as application/json`);
  const body = await limitedBody(c);
  let text: string;
  let parsed: unknown;
  try {
    const isGzipped = c.req.header('content-encoding') === 'gzip';
    text = (
      isGzipped ? await promisify(gunzip)(body, { maxOutputLength: MAX_UNZIPPED_BYTES }) : body
    ).toString('utf8');
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid(`push: the body cannot be read: ${(error as Error).message.slice(0, 200)}`);
  }
  const result = pushSchema.safeParse(parsed);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw invalid(`push: ${issue.path.join('.') || 'body'}: ${issue.message}`);
}

/** @throws LogsError `BAD_INPUT` as soon as the limit is passed */
async function limitedBody(c: Context): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of c.req.raw.body ?? []) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw invalid(`push: the body is larger than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function folderOf({ stream, values }: PushedStream, runs: ReadonlyMap<string, LogFolder>): LogFolder {
  const folder = runs.get(stream.run ?? '');
  if (folder === undefined)
    throw invalid(
      `push: the label run must name a run of this server, not ${JSON.stringify(stream.run ?? '').slice(0, 100)}`,
    );
  const numLabels = Object.keys(stream).length;
  if (numLabels > MAX_LABELS) throw invalid(`push: ${numLabels} labels, more than ${MAX_LABELS}`);
  for (const [, line] of values)
    if (Buffer.byteLength(line) > MAX_LINE_BYTES)
      throw invalid(`push: max entry size of ${MAX_LINE_BYTES} bytes exceeded`);
  return folder;
}

async function assertFewStreams(
  engine: LogEngine,
  { run, service }: LogFolder,
  pushed: readonly PushedStream[],
): Promise<void> {
  const views = await engine.open([{ name: 'run', op: '=', value: run }], Number.NEGATIVE_INFINITY);
  const known = views.find(({ file }) => file.isPushed)?.file.streams.all ?? [];
  const keys = new Set(known.map(({ labels }) => labelsKey(labels)));
  for (const { stream } of pushed) keys.add(labelsKey(new Map(Object.entries(withService(stream, service)))));
  if (keys.size > MAX_PUSHED_STREAMS)
    throw invalid(`push: run ${run} would have more than ${MAX_PUSHED_STREAMS} streams of pushed lines`);
}

function append({ run, directory, service }: LogFolder, pushed: readonly PushedStream[]): void {
  const text = pushed
    .flatMap(({ stream, values }) => {
      const labels = withService(stream, service);
      return values.map(([ns, line]) => `${formatPushedLine({ ns, labels, line })}\n`);
    })
    .join('');
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

function withService(labels: Readonly<Record<string, string>>, service: string): Record<string, string> {
  return { service_name: service, ...labels };
}
