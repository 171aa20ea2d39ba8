import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type ServeApiOptions, serveApi } from '../../src/api/serve-api.js';
import { textSourceSchema } from '../../src/data/read/text-source.js';
import type { Inference } from '../../src/inference/inference.js';
import { randomInference } from '../inference/small-inference.js';

export const SEQ_LEN = 16;
/** Options of a server on a free port of the loopback interface, without a token. */
export const SERVE_OPTIONS: ServeApiOptions = {
  host: '127.0.0.1',
  port: 0,
  token: null,
  examples: [['the cat'], ['der Kater?', 'auf der Matte?']],
  page: null,
  maxBatch: 8,
  maxWaiting: 200,
  requestTimeout: 60,
};
const TEXT = 'the cat sat on the mat; der Kater saß auf der Matte. 猫坐在垫子上。 '.repeat(20);

/**
 * A model of random weights for one test file: domain `a` is plain text, domain `b` has a chat form as if fine-tuned.
 */
export function servedModel() {
  let folder: string;
  let inference: Inference;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'locmoe-api-'));
    const b = textSourceSchema.parse({ files: 'qa.jsonl', instruct: {} });
    inference = randomInference(folder, TEXT, {
      model: { seqLen: SEQ_LEN },
      data: { domains: ['a', 'b'], sources: { b } },
    });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  return {
    inference: () => inference,
    /** Serves the model until the end of a test. */
    async serve(options: Partial<ServeApiOptions> = {}, key = 'none') {
      const server = await serveApi(inference, { ...SERVE_OPTIONS, ...options });
      closing.push(() => server.close(0));
      const root = `http://127.0.0.1:${server.address.port}`;
      const client = new OpenAI({ baseURL: `${root}/v1`, apiKey: key, maxRetries: 0 });
      const post = (body: unknown, signal?: AbortSignal, place = 'completions') =>
        fetch(`${root}/v1/${place}`, {
          method: 'POST',
          body: typeof body === 'string' ? body : JSON.stringify(body),
          ...(signal && { signal }),
        });
      const health = async () =>
        (await (await fetch(`${root}/health`)).json()) as { running: number; waiting: number };
      return { server, root, client, post, health };
    },
  };
}
