import { expect, it } from 'vitest';
import { expectClose, randomIntegers } from '../model/support.js';
import { NIGHTLY } from '../nightly.js';
import { SEQ_LEN, servedModel } from './support.js';

const { inference, serve } = servedModel();

interface Answer {
  readonly data: readonly { readonly embedding: number[]; readonly index: number }[];
  readonly usage: object;
}

/** The normalised mean of hidden states of the model itself, by a slow loop. */
function slowEmbedding(tokenIds: readonly number[], numImplicit: number, domain: number): number[] {
  const { dModel } = inference().config.model;
  const [tokens, domains] = [Int32Array.from(tokenIds), Int32Array.of(domain)];
  const batch = { numSequences: 1, seqLen: tokenIds.length, tokenIds: tokens, domains };
  const hidden = inference().model.hidden(batch, { training: false }).hiddenTD.arraySync() as number[][];
  const own = hidden.slice(numImplicit);
  const mean = Array.from(
    { length: dModel },
    (_, i) => own.reduce((sum, row) => sum + row[i]!, 0) / own.length,
  );
  const norm = Math.hypot(...mean);
  return mean.map((value) => value / norm);
}

it('gives the openai client the normalised mean of the hidden states, from texts and from token ids', async () => {
  const { client } = await serve();
  const { tokenizer, config } = inference();
  const texts = ['the cat', 'der Kater saß', '猫'];
  const ids = texts.map((text) => [...tokenizer.encode(text)]);
  const expected = ids.map((each) => slowEmbedding([tokenizer.endOfText, ...each], 1, 1));
  const embed = (input: string | string[] | number[] | number[][], model = 'run:b') =>
    client.embeddings.create({ model, input });
  const ofTexts = await embed(texts);
  expect(ofTexts).toMatchObject({ object: 'list', model: 'run:b' });
  expect(ofTexts.data.map(({ object, index }) => [object, index])).toEqual(
    [0, 1, 2].map((i) => ['embedding', i]),
  );
  for (const [i, { embedding }] of ofTexts.data.entries()) {
    expect(embedding).toHaveLength(config.model.dModel);
    expectClose([...embedding], expected[i]!, 1e-5);
    expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);
  }
  const numTokens = ids.flat().length;
  expect(ofTexts.usage).toEqual({ prompt_tokens: numTokens, total_tokens: numTokens });
  expect((await embed(texts[1]!)).data).toEqual([{ ...ofTexts.data[1], index: 0 }]);
  const asRead = ids.map((each) => [tokenizer.endOfText, ...each]);
  const ofIds = await embed(asRead);
  for (const [i, { embedding }] of ofIds.data.entries())
    expectClose([...embedding], slowEmbedding(asRead[i]!, 0, 1), 1e-5);
  expect((await embed(asRead[2]!)).data).toEqual([{ ...ofIds.data[2], index: 0 }]);
  // Another domain has other experts.
  const [other] = (await embed(texts[0]!, 'run:a')).data;
  expectClose([...other!.embedding], slowEmbedding(asRead[0]!.slice(), 1, 0), 1e-5);
});

it('encodes the same numbers as floats and in base64', async () => {
  const { post } = await serve();
  const ask = async (fields: object) =>
    (await (
      await post({ model: 'run', domain: 'a', input: 'the', ...fields }, undefined, 'embeddings')
    ).json()) as Answer;
  const [floats, plain, base64] = await Promise.all([
    ask({ encoding_format: 'float' }),
    ask({}),
    ask({ encoding_format: 'base64' }),
  ]);
  expect(plain).toEqual(floats);
  const bytes = Buffer.from(String(base64.data[0]!.embedding), 'base64');
  const read = Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
  expect(read).toEqual(floats.data[0]!.embedding);
});

it('gives a text the same numbers whatever is read beside it, up to rounding', async () => {
  const { client } = await serve({ maxBatch: 16 });
  const embed = async (input: number[][]) =>
    (await client.embeddings.create({ model: 'run:a', input })).data.map(({ embedding }) => [...embedding]);
  for (let round = 0; round < (NIGHTLY ? 30 : 5); round++) {
    const lengths = [...randomIntegers(`lengths ${round}`, 40, SEQ_LEN)].map((length) => length + 1);
    const inputs = lengths.map((length, i) => [...randomIntegers(`ids ${round} ${i}`, length, 300)]);
    const text = { model: 'run:a', prompt: 'the cat', max_tokens: 20 };
    const [together] = await Promise.all([embed(inputs), client.completions.create(text)]);
    for (const i of [0, 7, 39]) {
      const [alone] = await embed([inputs[i]!]);
      expectClose(together[i]!, alone!, 1e-6);
      expect(await embed([inputs[i]!])).toEqual([alone]);
    }
    const reversed = await embed(inputs.toReversed());
    expectClose(reversed.toReversed().flat(), together.flat(), 1e-6);
  }
});

it.each([
  [{ input: '' }, 'input', /text 0 is empty/],
  [{ input: ['a', ''] }, 'input', /text 1 is empty/],
  [{ input: [] }, 'input', /lists are not empty/],
  [{ input: [[]] }, 'input', /./],
  [{ input: undefined }, 'input', /give a text/],
  [{ input: [1, 'a'] }, 'input', /give a text/],
  [{ input: Array(1025).fill('a') }, 'input', /up to 1024/],
  [{ input: [300] }, 'input', /token id 300: the model knows ids 0 to 299/],
  [{ input: Array(SEQ_LEN + 1).fill(1) }, 'input', /text 0 has 17 tokens: at most 16 are read/],
  [
    { input: ['a', 'a b c d e f g h i j k l m n o p q'] },
    'input',
    /text 1 has \d+ tokens: at most 15 are read/,
  ],
  [{ input: 'a '.repeat(40_000) }, 'input', /80000 characters/],
  [{ encoding_format: 'int8' }, 'encoding_format', /float/],
  [{ dimensions: 8 }, 'dimensions', /does not support/],
  [{ prompt: 'a' }, 'prompt', /does not have/],
  [{ model: 'run' }, 'model', /name a domain/],
])('names the field that is wrong: %j', async (fields, param, message) => {
  const { client } = await serve();
  const wrong = client.embeddings.create({ model: 'run:a', input: 'a', ...(fields as object) });
  await expect(wrong).rejects.toMatchObject({ status: 400, type: 'invalid_request_error' });
  await expect(wrong).rejects.toSatisfy((error) => (error as { param: string }).param.startsWith(param));
  await expect(wrong).rejects.toThrow(message);
});

it('takes no more texts than may wait, and counts its requests', async () => {
  const { client, root } = await serve({ maxWaiting: 3 });
  const embed = (input: string[]) => client.embeddings.create({ model: 'run:a', input });
  await expect(embed(['a', 'b', 'c', 'd'])).rejects.toThrow(/4 texts in one request: at most 3 may wait/);
  await expect(client.embeddings.create({ model: 'gpt', input: 'a' })).rejects.toMatchObject({ status: 404 });
  expect((await embed(['a', 'b', 'c'])).data).toHaveLength(3);
  const metrics = await (await fetch(`${root}/metrics`)).text();
  for (const [outcome, count] of Object.entries({ answered: 1, refused: 2 }))
    expect(metrics).toMatch(
      new RegExp(
        `^locmoe_api_requests_total\\{endpoint="embeddings",outcome="${outcome}",run="run"\\} ${count}$`,
        'm',
      ),
    );
});
