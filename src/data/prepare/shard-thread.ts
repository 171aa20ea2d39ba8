import { parentPort, workerData } from 'node:worker_threads';
import { asTrainerError } from '../../errors.js';
import { loadTokenizer } from '../tokenizer/tokenizer.js';
import { makeShards } from './make-shards.js';
import type { ShardAnswer, ShardRequest, ShardThreadData } from './shard-threads.js';

// A thread that prepares parts of a text (shard-threads.ts).
const { tokenizerFile, endOfText }: ShardThreadData = workerData;
const tokenizer = loadTokenizer(tokenizerFile, endOfText);
const say = (answer: ShardAnswer) => parentPort!.postMessage(answer);

parentPort!.on('message', (request: ShardRequest | null) => {
  // The thread exits after the part that it is working on.
  if (request === null) return parentPort!.close();
  const { index, part, work } = request;
  makeShards(part, work, tokenizer, (bytes, wereDone) => say({ bytes, wereDone })).then(
    (made) => say({ index, made }),
    (error: unknown) => {
      const { code, line } = asTrainerError(error);
      // A bug is thrown here to keep its stack, which a message would lose.
      if (code === 'INTERNAL') throw error;
      say({ failure: { code, message: line } });
    },
  );
});
