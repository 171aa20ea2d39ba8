import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type ServeApiOptions, serveApi } from '../../src/api/serve-api.js';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { tokenizerJson, trainBpe } from '../../src/data/bpe-trainer.js';
import { textSourceSchema } from '../../src/data/text-source.js';
import { type Inference, openInference } from '../../src/inference/inference.js';
import { createTrainState, tensorsToSave } from '../../src/worker/state.js';
import { randomValues, tinyConfig } from '../model/support.js';

export const SEQ_LEN = 16;
const TEXT = 'the cat sat on the mat; der Kater saß auf der Matte. 猫坐在垫子上。 '.repeat(20);

/** A model of random weights for the tests of a file: domain `a` is of text, `b` as if it were fine-tuned. */
export function servedModel() {
  let folder: string;
  let inference: Inference;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'locmoe-api-'));
    const tokenizerFile = path.join(folder, 'tokenizer.json');
    writeFileSync(tokenizerFile, tokenizerJson(trainBpe([TEXT], 300)));
    const b = textSourceSchema.parse({ files: 'qa.jsonl', instruct: {} });
    const config = tinyConfig({
      model: { seqLen: SEQ_LEN, vocabSize: 300, dModel: 16 },
      data: { domains: ['a', 'b'], sources: { b } },
    });
    const state = createTrainState(config, soloTransport(), null);
    for (const { ranges, values } of [state.model.parameters.shared, state.model.parameters.expert])
      for (const { name, shape, begin, end } of ranges)
        if (shape.length === 2) values.set(randomValues(name, end - begin, 0.4), begin);
    const saved = saveCheckpoint({
      ...{ root: path.join(folder, 'checkpoints'), step: 1, generation: 1, keep: 1, runId: 'run', config },
      ...{ tokenizerFile, metrics: {}, tensors: tensorsToSave(state) },
    });
    inference = openInference(openCheckpoint(saved));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  return {
    inference: () => inference,
    /** Serves it until the end of a test. */
    async serve(options: Partial<ServeApiOptions> = {}, key = 'none') {
      const server = await serveApi(inference, {
        ...{ host: '127.0.0.1', port: 0, token: null, maxBatch: 8, maxWaiting: 200, requestTimeoutS: 60 },
        ...options,
      });
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
