import { TrainerError } from '@locmoe/run-format/errors';
import { type Context, Hono } from 'hono';
import { compress } from 'hono/compress';
import type { PagePackage } from 'locmoe/internal/cli/packages';
import type { ApiError, RunList } from './api-types.js';
import { flightOf } from './flight-reply.js';
import { MAX_POINTS } from './metrics-table.js';
import { RoutesApi } from './routes/routes-api.js';
import { BadRequest, NotFound, notFound, RunCatalog } from './run-catalog.js';
import { preloads, sendFile } from './static-files.js';
import { timelineReply } from './timeline-reply.js';

/** A page that is open polls its run every one and a half seconds, less often if the machine is busy. */
const WATCHED_MS = 10_000;

/**
 * Serves the page: its files at `/` and `/page/`, and the data of runs at `/api/runs` as JSON (api-types.ts).
 *
 * @param runsDir folder that holds the runs
 * @param shown id of the run to show first; if omitted, the run passed to `follow`, or the newest
 */
export const pageFeature: PagePackage['pageFeature'] = (runsDir, shown) => {
  let own = shown ?? null;
  const catalog = new RunCatalog(runsDir);
  const routes = new Hono();
  // Compression reduces scripts and columns of numbers to a fourth, which matters through a tunnel.
  for (const path of ['/api/runs/*', '/page/*']) routes.use(path, compress());
  routes.get('/', async (c) => {
    c.header('Link', await preloads());
    return sendFile(c, 'index.html');
  });
  routes.get('/page/*', (c) => sendFile(c, c.req.path.slice('/page/'.length)));
  routes.get('/api/runs', (c) => send(c, { runs: catalog.list(), own } satisfies RunList));
  const ofRun = (path: string, reply: (runId: string, c: Context) => object | Promise<object>) =>
    routes.get(`/api/runs/:id${path}`, async (c) => send(c, await reply(c.req.param('id') ?? '', c)));
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  ofRun('', (runId) => {
    lookedAtMs = performance.now();
    return catalog.detail(runId);
  });
  ofRun('/metrics', (runId, c) =>
    catalog.metrics(runId).metrics({
      after: c.req.query('after'),
      fromStep: numberOf(c, 'from'),
      toStep: numberOf(c, 'to'),
      layer: c.req.query('layer') ?? 'all',
      maxPoints: Math.min(10 * MAX_POINTS, Math.max(16, numberOf(c, 'points') ?? MAX_POINTS)),
    }),
  );
  ofRun('/experts', (runId, c) => {
    const layers = c.req.query('layers')?.split(',').map(Number);
    return catalog.metrics(runId).experts({ after: c.req.query('after'), layers });
  });
  ofRun('/ranks', (runId, c) => catalog.metrics(runId).ranks(c.req.query('after')));
  ofRun('/speeds', (runId) => catalog.metrics(runId).speeds());
  ofRun('/steps/:step', async (runId, c) => {
    const step = c.req.param('step');
    const reply = await catalog.metrics(runId).step(Number(step));
    return reply ?? notFound(`nothing is recorded of step ${step}`);
  });
  ofRun('/checkpoints', (runId) => catalog.checkpoints(runId));
  ofRun('/checkpoints/:name', (runId, c) => catalog.checkCheckpoint(runId, c.req.param('name') ?? ''));
  ofRun('/flight', (runId) => flightOf(catalog.folderOf(runId)));
  ofRun('/timeline', (runId, c) => {
    const folder = catalog.folderOf(runId);
    try {
      return timelineReply(folder, numberOf(c, 'step'), numberOf(c, 'generation'));
    } catch (error) {
      return error instanceof TrainerError ? notFound(error.message) : Promise.reject(error);
    }
  });
  const recorded = new RoutesApi();
  ofRun('/routes', (runId) => recorded.steps(catalog.run(runId)));
  ofRun('/probe', (runId) => recorded.probe(catalog.run(runId)));
  ofRun('/routes/:step', (runId, c) => recorded.step(catalog.run(runId), c.req.param('step') ?? ''));
  ofRun('/routes/:step/sequences/:sequence', (runId, c) =>
    recorded.sequence(catalog.run(runId), {
      step: c.req.param('step') ?? '',
      sequence: c.req.param('sequence') ?? '',
      from: c.req.query('from') ?? '0',
    }),
  );
  ofRun('/routes/:step/layers/:layer/experts/:expert', (runId, c) =>
    recorded.expert(catalog.run(runId), {
      step: c.req.param('step') ?? '',
      layer: c.req.param('layer') ?? '',
      expert: c.req.param('expert') ?? '',
    }),
  );
  routes.onError((error, c) => {
    const status = error instanceof NotFound ? 404 : error instanceof BadRequest ? 400 : 500;
    if (status === 500 && !(error instanceof TrainerError)) throw error;
    return send(c, { error: error.message } satisfies ApiError, status);
  });
  return {
    routes,
    isWatched: () => performance.now() - lookedAtMs < WATCHED_MS,
    follow(runId, live) {
      own = runId;
      return catalog.follow(runId, live);
    },
    close: () => {
      recorded.close();
      return catalog.saveIndex();
    },
  };
};

function send(c: Context, value: object, status: 200 | 400 | 404 | 500 = 200): Response {
  c.header('Cache-Control', 'no-store');
  return c.json(value, status);
}

function numberOf(c: Context, name: string): number | undefined {
  const value = Number(c.req.query(name) ?? Number.NaN);
  return Number.isFinite(value) ? value : undefined;
}
