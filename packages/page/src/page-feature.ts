import { TrainerError } from '@locmoe/run-format/errors';
import { type Context, Hono } from 'hono';
import { compress } from 'hono/compress';
import type { PagePackage } from 'locmoe/internal/cli/packages';
import type { ApiError, RunList } from './api-types.js';
import { MAX_POINTS, type MetricsTable } from './metrics-table.js';
import { RunCatalog } from './run-catalog.js';
import { CONTENT_SECURITY_POLICY, preloads, staticFile } from './static-files.js';
import { timelineReply } from './timeline-reply.js';

/** An open page asks for its run every one and a half seconds, later if the machine is busy. */
const WATCHED_MS = 10_000;

/**
 * The page: its files at `/` and `/page/`, and the data of runs at `/api/runs` as JSON (api-types.ts).
 *
 * @param runsDir folder that holds the runs
 */
export const pageFeature: PagePackage['pageFeature'] = (runsDir) => {
  const catalog = new RunCatalog(runsDir);
  const routes = new Hono();
  // Scripts and columns of numbers shrink to a fourth, which counts through a tunnel.
  for (const path of ['/api/runs/*', '/page/*']) routes.use(path, compress());
  routes.get('/', async (c) => {
    c.header('Link', await preloads());
    return sendFile(c, 'index.html');
  });
  routes.get('/page/*', (c) => sendFile(c, c.req.path.slice('/page/'.length)));
  routes.get('/api/runs', (c) => send(c, { runs: catalog.list() } satisfies RunList));
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  routes.get('/api/runs/:id', (c) => {
    lookedAtMs = performance.now();
    const run = catalog.detail(c.req.param('id'));
    return run === null ? noSuchRun(c) : send(c, run);
  });
  const ofMetrics = (path: string, reply: (metrics: MetricsTable, c: Context) => Promise<object>) =>
    routes.get(`/api/runs/:id/${path}`, async (c) => {
      const metrics = catalog.metrics(c.req.param('id'));
      return metrics === null ? noSuchRun(c) : send(c, await reply(metrics, c));
    });
  ofMetrics('metrics', (metrics, c) =>
    metrics.metrics({
      after: c.req.query('after'),
      fromStep: numberOf(c, 'from'),
      toStep: numberOf(c, 'to'),
      layer: c.req.query('layer') ?? 'all',
      maxPoints: Math.min(10 * MAX_POINTS, Math.max(16, numberOf(c, 'points') ?? MAX_POINTS)),
    }),
  );
  ofMetrics('experts', (metrics, c) =>
    metrics.experts({ after: c.req.query('after'), layers: numbersOf(c, 'layers') }),
  );
  ofMetrics('ranks', (metrics, c) => metrics.ranks(c.req.query('after')));
  ofMetrics('speeds', (metrics) => metrics.speeds());
  routes.get('/api/runs/:id/steps/:step', async (c) => {
    const { id, step } = c.req.param();
    const metrics = catalog.metrics(id);
    if (metrics === null) return noSuchRun(c);
    const reply = await metrics.step(Number(step));
    return reply === null ? notFound(c, `nothing is recorded of step ${step}`) : send(c, reply);
  });
  routes.get('/api/runs/:id/checkpoints', (c) => {
    const reply = catalog.checkpoints(c.req.param('id'));
    return reply === null ? noSuchRun(c) : send(c, reply);
  });
  routes.get('/api/runs/:id/checkpoints/:name', async (c) => {
    const { id, name } = c.req.param();
    const check = await catalog.checkCheckpoint(id, name);
    return check === null ? notFound(c, `run ${id} has no checkpoint ${name}`) : send(c, check);
  });
  routes.get('/api/runs/:id/flight', (c) => {
    const reply = catalog.flight(c.req.param('id'));
    return reply === null ? noSuchRun(c) : send(c, reply);
  });
  routes.get('/api/runs/:id/timeline', (c) => {
    const folder = catalog.folderOf(c.req.param('id'));
    if (folder === null) return noSuchRun(c);
    try {
      return send(c, timelineReply(folder, numberOf(c, 'step'), numberOf(c, 'generation')));
    } catch (error) {
      if (!(error instanceof TrainerError)) throw error;
      c.header('Cache-Control', 'no-store');
      return c.json({ error: error.message } satisfies ApiError, 404);
    }
  });
  routes.onError((error, c) => {
    if (!(error instanceof TrainerError)) throw error;
    c.header('Cache-Control', 'no-store');
    return c.json({ error: error.message } satisfies ApiError, 500);
  });
  return {
    routes,
    isWatched: () => performance.now() - lookedAtMs < WATCHED_MS,
    follow: (runId) => catalog.follow(runId),
    close: () => catalog.saveIndex(),
  };
};

async function sendFile(c: Context, name: string): Promise<Response> {
  const file = await staticFile(name);
  if (file === null) return c.text(`no file ${name}\n`, 404);
  c.header('Content-Security-Policy', CONTENT_SECURITY_POLICY);
  c.header('Cache-Control', 'no-cache');
  return c.body(file.body, 200, { 'Content-Type': file.type });
}

function send(c: Context, value: object): Response {
  c.header('Cache-Control', 'no-store');
  return c.json(value);
}

function noSuchRun(c: Context): Response {
  return notFound(c, `no run ${c.req.param('id')}`);
}

function notFound(c: Context, error: string): Response {
  c.header('Cache-Control', 'no-store');
  return c.json({ error } satisfies ApiError, 404);
}

/** Numbers with commas between; undefined without the parameter. */
function numbersOf(c: Context, name: string): number[] | undefined {
  return c.req.query(name)?.split(',').map(Number);
}

function numberOf(c: Context, name: string): number | undefined {
  const value = Number(c.req.query(name) ?? Number.NaN);
  return Number.isFinite(value) ? value : undefined;
}
