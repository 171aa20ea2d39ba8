// Runs llama.cpp, from the binary of a package, in a separate process. The argument is a JSON list of orders; prints
// for each file the tokens of the texts, and the log-probabilities of the next token after each given token, [tokens,
// vocabulary].
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);
const main = path.dirname(require.resolve('@node-llama-cpp/linux-x64'));
const binaries = path.join(main, '../bins/linux-x64');
const llama = require(path.join(binaries, 'llama-addon.node'));
const FLOAT32 = 0;
let log = '';
llama.setLogger((_, line) => {
  log += line;
});
llama.loadBackends(binaries);
await llama.init();

async function answer({ file, texts = [], ids = null }) {
  const model = new llama.AddonModel(file, { addonExports: llama, gpuLayers: 0, vocabOnly: ids === null });
  if (!(await model.init())) throw new Error(`${file} was refused: ${log}`);
  return {
    beginsText: model.shouldPrependBosToken() ? model.tokenBos() : null,
    endsText: model.tokenEos(),
    tokens: texts.map((text) => [...model.tokenize(text, false)]),
    logProbabilities: ids && (await logProbabilities(model, ids)),
  };
}

async function logProbabilities(model, ids) {
  const context = new llama.AddonContext(model, {
    contextSize: ids.length,
    batchSize: ids.length,
    sequences: 1,
    threads: 1,
    flashAttention: false,
    kvCacheKeyType: FLOAT32,
    kvCacheValueType: FLOAT32,
  });
  await context.init();
  context.initBatch(ids.length);
  const places = context.addToBatch(0, 0, Uint32Array.from(ids), Uint32Array.from(ids.keys()));
  await context.decodeBatch();
  const rows = [];
  for (const place of places) {
    const sampler = new llama.AddonSampler(model);
    sampler.applyConfig({ temperature: 0 });
    const [, pairs] = await context.sampleToken(place, sampler, true);
    const row = [];
    for (let i = 0; i < pairs.length; i += 2) row[pairs[i]] = Math.log(pairs[i + 1]);
    rows.push(row);
  }
  return rows;
}

const answers = [];
for (const order of JSON.parse(process.argv[2])) answers.push(await answer(order));
process.stdout.write(JSON.stringify(answers), () => process.exit());
