import type { HttpFeature } from '@locmoe/logs/http';
import { exponentialBuckets, Histogram } from 'prom-client';
import { instrumentsOf } from './instruments.js';
import { metricsFeature, processRegistry } from './process-metrics.js';

/** 10 ms to 20 s. */
const FIRST_TOKEN_BUCKETS_S = exponentialBuckets(0.01, 2, 12);
/** 1 to 2,048 tokens/s. */
const SPEED_BUCKETS = exponentialBuckets(1, 2, 12);

const ENDPOINTS = ['completions', 'chat', 'embeddings'] as const;
export type Endpoint = (typeof ENDPOINTS)[number];

/** How a request ended. `gone`: the caller disconnected; `busy` and `closing`: the caller may try again later. */
const OUTCOMES = ['answered', 'refused', 'busy', 'gone', 'timeout', 'closing', 'failed'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** Measures one text from the reading of its prompt to its end. */
export interface TextMeter {
  read(numTokens: number): void;
  /** Called for each token that is drawn. */
  drawn(): void;
  end(): void;
}

export interface ApiLoad {
  readonly running: number;
  readonly waiting: number;
}

/** Metrics of `locmoe api` (requests, tokens, latency and speed of generation, queue) and of its process. */
export class ApiMetrics {
  readonly #registry = processRegistry();
  readonly #requests;
  readonly #promptTokens;
  readonly #generatedTokens;
  readonly #firstToken;
  readonly #speed;
  readonly #running;
  readonly #waiting;

  /** @param load asked at each scrape */
  constructor(
    runId: string,
    private readonly load: () => ApiLoad,
  ) {
    const registry = this.#registry;
    registry.setDefaultLabels({ run: runId });
    const { counter, gauge } = instrumentsOf(registry);
    this.#requests = counter(
      'locmoe_api_requests_total',
      `Requests for text that have ended, by endpoint and outcome: ${OUTCOMES.join(', ')}`,
      ['endpoint', 'outcome'],
    );
    // Every counter starts at 0, so that a first failure shows as an increase.
    for (const endpoint of ENDPOINTS)
      for (const outcome of OUTCOMES) this.#requests.add(0, { endpoint, outcome });
    this.#promptTokens = counter(
      'locmoe_api_prompt_tokens_total',
      'Tokens of prompts that the model has read',
    );
    this.#generatedTokens = counter('locmoe_api_generated_tokens_total', 'Tokens that were generated');
    this.#promptTokens.add(0);
    this.#generatedTokens.add(0);
    this.#firstToken = new Histogram({
      name: 'locmoe_api_first_token_seconds',
      help: 'Time from a request to the first token of a text, the wait in the queue included, in seconds',
      buckets: FIRST_TOKEN_BUCKETS_S,
      registers: [registry],
    });
    this.#speed = new Histogram({
      name: 'locmoe_api_text_tokens_per_second',
      help: 'Tokens per second of a text after its first one; texts in a batch have theirs at the same time',
      buckets: SPEED_BUCKETS,
      registers: [registry],
    });
    this.#running = gauge('locmoe_api_texts_running', 'Texts that are being continued together');
    this.#waiting = gauge('locmoe_api_texts_waiting', 'Texts that wait for a place in the batch');
  }

  /** `GET /metrics` for Prometheus. */
  get feature(): HttpFeature {
    return metricsFeature(() => {
      const { running, waiting } = this.load();
      this.#running.set(running);
      this.#waiting.set(waiting);
      return this.#registry.metrics();
    });
  }

  ended(endpoint: Endpoint, outcome: Outcome): void {
    this.#requests.add(1, { endpoint, outcome });
  }

  /** Begins to time a text, which has just been asked for. */
  beginText(): TextMeter {
    const begunMs = performance.now();
    let firstMs = 0;
    let count = 0;
    return {
      read: (numTokens) => this.#promptTokens.add(numTokens),
      drawn: () => {
        this.#generatedTokens.add(1);
        if (count++ > 0) return;
        firstMs = performance.now();
        this.#firstToken.observe((firstMs - begunMs) / 1000);
      },
      end: () => {
        if (count > 1) this.#speed.observe((1000 * (count - 1)) / (performance.now() - firstMs));
      },
    };
  }
}
