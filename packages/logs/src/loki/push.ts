import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { Context, Hono } from 'hono';
import { z } from 'zod';
import type { LogEngine } from '../logql/log-engine.js';
import { labelsText } from '../logql/series.js';
import type { LogCatalog, LogFolder } from '../store/log-catalog.js';
import type { PushedLine } from '../store/pushed-line.js';
import { readBody } from './body.js';
import type { RequestGate } from './gate.js';
import { invalid } from './parameters.js';
import { keepPushed } from './pushed-lines.js';

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
