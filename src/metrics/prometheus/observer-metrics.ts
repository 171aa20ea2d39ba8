import type { Answer, LokiActivity } from '@locmoe/logs/http';
import { exponentialBuckets, Histogram, type Registry } from 'prom-client';
import { instrumentsOf } from './instruments.js';

/** 5 ms to 20 s; a query times out after 30 s. */
const QUERY_BUCKETS_S = exponentialBuckets(0.005, 4, 7);

/** Names of routes by the prefix of their paths; the first match counts. */
const ROUTES: readonly (readonly [RegExp, string])[] = [
  [/^\/metrics$/, 'metrics'],
  [/^\/loki\/api\/v1\/query(_range)?$/, 'query'],
  [/^\/loki\//, 'logs'],
  [/^\/api\//, 'data'],
  [/^\/(page\/.*)?$/, 'page'],
];

/** Metrics of the observers of a run: their HTTP requests, and how long these take. */
export class ObserverMetrics {
  readonly #requests;
  readonly #queries;
  readonly #tails;
  readonly #tailDropped;
  readonly #waiting;
  #loki: (() => LokiActivity) | null = null;
  #countedDrops = 0;

  constructor(registry: Registry) {
    const { counter, gauge } = instrumentsOf(registry);
    this.#requests = counter(
      'locmoe_http_requests_total',
      'HTTP requests that were answered, by what was asked for: metrics, query (LogQL), logs (else of the log), data and page (of the page), other; and by status code',
      ['route', 'code'],
    );
    this.#queries = new Histogram({
      name: 'locmoe_log_query_seconds',
      help: 'Time until a LogQL query was answered, in seconds',
      buckets: QUERY_BUCKETS_S,
      registers: [registry],
    });
    this.#tails = gauge('locmoe_log_tails', 'Clients that tail the log over WebSockets');
    this.#tailDropped = counter(
      'locmoe_log_tail_lines_dropped_total',
      'Log lines that tails did not get because their clients were slow',
    );
    this.#waiting = gauge(
      'locmoe_log_requests_waiting',
      'Requests about the log that wait for others to be answered',
    );
    this.#waiting.set(0);
    this.#tails.set(0);
    this.#tailDropped.add(0);
  }

  /** Watches the API that answers queries. */
  watch(activity: () => LokiActivity): void {
    this.#loki = activity;
  }

  answered({ path, status, ms }: Answer): void {
    const route = ROUTES.find(([pattern]) => pattern.test(path))?.[1] ?? 'other';
    this.#requests.add(1, { route, code: status });
    if (route === 'query') this.#queries.observe(ms / 1000);
  }

  refresh(): void {
    if (this.#loki === null) return;
    const { tails, droppedLines, waitingRequests } = this.#loki();
    this.#waiting.set(waitingRequests);
    this.#tails.set(tails);
    this.#tailDropped.add(droppedLines - this.#countedDrops);
    this.#countedDrops = droppedLines;
  }
}
