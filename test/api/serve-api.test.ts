import fc from 'fast-check';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { asApiError } from '../../src/api/completions.js';
import { tokenName } from '../../src/api/token-log.js';
import type { TokenRoutes } from '../../src/api/token-routes.js';
import { TrainerError } from '../../src/errors.js';
import { generateText } from '../../src/inference/generate.js';
import { tf } from '../../src/ops/tensorflow.js';
import { expectClose, randomIntegers } from '../model/support.js';
import { NIGHTLY } from '../nightly.js';
import { SEQ_LEN as seqLen, servedModel } from './support.js';

const { inference, serve } = servedModel();

/** Log-softmax by a slow loop over `model.logits` of each prefix; the first is null. */
function slowLogProbs(tokenIds: readonly number[], domain: number): (number | null)[] {
  return tokenIds.map((id, i) => {
    if (i === 0) return null;
    const logits = inference().model.logits(Int32Array.from(tokenIds.slice(0, i)), domain);
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
    return logits[id] - Math.log(total);
  });
}

const GREEDY = { temperature: 0, max_tokens: 12 };

describe('the openai client', () => {
  it('lists a model for each domain', async () => {
    const { client } = await serve();
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toEqual(['run:a', 'run:b']);
    expect(await client.models.retrieve('run:b')).toEqual(data[1]);
    expect(data[1]).toMatchObject({ domain: 'b', chat: true, examples: ['der Kater?', 'auf der Matte?'] });
    expect((await client.models.retrieve('run')).id).toBe('run');
    await expect(client.models.retrieve('gpt')).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });

  it('gets the text of locmoe generate for the same seed, sampled as asked for', async () => {
    const { client } = await serve();
    const both = { temperature: 0.9, seed: 5 };
    const more = { top_p: 0.9, ...({ top_k: 20, repetition_penalty: 1.2 } as object) };
    const request = { model: 'run:b', prompt: 'the cat', max_tokens: 30, ...both, ...more };
    const { choices, usage } = await client.completions.create(request);
    const sampling = { ...both, topP: 0.9, topK: 20, repetitionPenalty: 1.2 };
    const asked = { prompt: 'the cat', domain: 1, maxTokens: 30, stop: [] };
    expect(choices).toHaveLength(1);
    expect(choices[0].text).toBe(generateText(inference(), { ...asked, ...sampling }));
    expect(usage!.prompt_tokens).toBe(inference().tokenizer.encode('the cat').length);
  });

  it('streams what it gets at once, choice by choice', async () => {
    const { client } = await serve();
    const prompt = ['the cat', 'der', 'auf 猫'];
    const options = { max_tokens: 20, n: 2, seed: 3, logprobs: 2, echo: true };
    const request = { model: 'run', domain: 'b', prompt, ...options };
    const whole = await client.completions.create(request);
    const streamed = { stream: true, stream_options: { include_usage: true } } as const;
    const stream = await client.completions.create({ ...request, ...streamed });
    const texts = Array<string>(6).fill('');
    const logProbs = Array.from({ length: 6 }, (): (number | null)[] => []);
    const reasons: unknown[] = [];
    let usage: unknown;
    let numChunks = 0;
    for await (const chunk of stream) {
      numChunks++;
      if (chunk.usage) usage = chunk.usage;
      for (const { index, text, logprobs, finish_reason } of chunk.choices) {
        texts[index] += text;
        logProbs[index].push(...(logprobs!.token_logprobs ?? []));
        if (finish_reason) reasons[index] = finish_reason;
      }
    }
    expect(numChunks).toBeGreaterThan(20);
    expect(texts).toEqual(whole.choices.map(({ text }) => text));
    expect(logProbs).toEqual(whole.choices.map(({ logprobs }) => logprobs!.token_logprobs));
    expect(reasons).toEqual(whole.choices.map(({ finish_reason }) => finish_reason));
    expect(usage).toEqual(whole.usage);
    expect(new Set(texts).size).toBe(6);
  });

  it('is told, once in a stream, that of a prompt which is longer than the window the end alone is read', async () => {
    const { post } = await serve();
    const asked = (length: number) => {
      return { model: 'run:a', prompt: Array<number>(length).fill(1), max_tokens: 2 };
    };
    const warnings = [
      `the prompt has ${seqLen + 3} tokens, and the model sees ${seqLen}: only the last ${seqLen} are read`,
    ];
    expect(await (await post(asked(seqLen + 3))).json()).toMatchObject({ warnings });
    expect(await (await post(asked(seqLen))).json()).not.toHaveProperty('warnings');
    const events = await (await post({ ...asked(seqLen + 3), stream: true })).text();
    const [first, ...others] = events.split('\n\n').filter((event) => event.startsWith('data: {'));
    expect(JSON.parse(first!.slice('data: '.length))).toMatchObject({ warnings });
    expect(others.join()).not.toContain('warnings');
  });

  it('gets log-probabilities of prompt and output, and where each token begins', async () => {
    const { client } = await serve();
    const tokenIds = [inference().tokenizer.endOfText, ...inference().tokenizer.encode('the cat 猫')];
    const asked = { model: 'run:a', echo: true, logprobs: 3, max_tokens: 3, temperature: 0 };
    const ofIds = (await client.completions.create({ ...asked, prompt: tokenIds })).choices[0];
    const ofText = (await client.completions.create({ ...asked, prompt: 'the cat 猫' })).choices[0];
    const { tokens, token_logprobs, top_logprobs, text_offset } = ofIds.logprobs!;
    const context = tokenIds.slice();
    for (let i = 0; i < 3; i++) {
      const logits = inference().model.logits(Int32Array.from(context), 0);
      context.push(logits.indexOf(Math.max(...logits)));
    }
    const expected = slowLogProbs(context, 0);
    expect(token_logprobs![0]).toBeNull();
    expectClose(token_logprobs!.slice(1) as number[], expected.slice(1) as number[], 1e-5);
    top_logprobs!.slice(1).forEach((top, i) => {
      expect(Object.values(top!)).toContain(token_logprobs![i + 1]);
      expect([3, 4]).toContain(Object.keys(top!).length);
      if (i + 1 >= tokenIds.length) expect(Math.max(...Object.values(top!))).toBe(token_logprobs![i + 1]);
    });
    expect(tokens![0]).toBe('<|endoftext|>');
    expect(text_offset).toEqual([...text_offset!].sort((a, b) => a - b));
    // The end-of-text token that precedes the text's first token is left out.
    expect(ofText.logprobs!.token_logprobs).toEqual(token_logprobs!.slice(1));
    const { length } = '<|endoftext|>';
    expect(ofText.logprobs!.text_offset).toEqual(text_offset!.slice(1).map((offset) => offset - length));
    expect(ofText.text.startsWith('the cat 猫')).toBe(true);
    tokens!.slice(0, 3).forEach((token, i) => {
      expect(ofIds.text.startsWith(token, text_offset![i])).toBe(true);
    });
  });

  it('ends in front of a stop text, and says why it ended', async () => {
    const { client } = await serve();
    const asked = { model: 'run:a', prompt: 'the', seed: 2, max_tokens: 12 };
    const [{ text, finish_reason }] = (await client.completions.create(asked)).choices;
    expect(finish_reason).toBe('length');
    const stop = text.slice(6, 8);
    const stopped = (await client.completions.create({ ...asked, stop: ['never comes', stop] })).choices[0];
    expect(stopped).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish_reason: 'stop' });
  });

  it.each([
    [{ suffix: 'x' }, 'suffix'],
    [{ best_of: 3 }, 'best_of'],
    [{ logit_bias: { 5: 1 } }, 'logit_bias'],
    [{ presence_penalty: 1 }, 'presence_penalty'],
    [{ max_tokens: -1 }, 'max_tokens'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_tokens: 1e9 }, 'max_tokens'],
    [{ prompt: 'a '.repeat(40_000) }, 'prompt'],
    [{ n: 99 }, 'n'],
    [{ temperature: 'hot' }, 'temperature'],
    [{ functions: [] }, 'functions'],
    [{ prompt: [] }, 'prompt'],
    [{ prompt: [[]] }, 'prompt[0]'],
    [{ prompt: Array(1025).fill('a') }, 'prompt'],
    [{ prompt: [5, 'a'] }, 'prompt'],
    [{ prompt: [300] }, 'prompt'],
    [{ model: 'run' }, 'model'],
    [{ domain: 'c' }, 'domain'],
    [{ domain: 'b' }, 'domain'],
  ])('learns which field is wrong: %j', async (fields, param) => {
    const { client } = await serve();
    const wrong = client.completions.create({ model: 'run:a', prompt: 'a', ...(fields as object) });
    await expect(wrong).rejects.toMatchObject({ status: 400, param, type: 'invalid_request_error' });
  });
});

describe('lm-evaluation-harness', () => {
  /** The request that its `local-completions` sends for log-likelihoods. */
  const payload = (prompt: readonly (readonly number[])[]) => {
    return { model: 'run:b', prompt, temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true };
  };
  interface Answer {
    readonly choices: readonly {
      readonly index: number;
      readonly logprobs: { token_logprobs: number[]; top_logprobs: Record<string, number>[] };
    }[];
  }
  /**
   * How it reads the answer: the sum of the log-probabilities after the context, and whether every token is the greedy
   * one.
   */
  const parse = ({ choices }: Answer, contexts: readonly number[]) =>
    [...choices]
      .sort((a, b) => a.index - b.index)
      .map(({ logprobs: { token_logprobs, top_logprobs } }, i) => {
        const own = token_logprobs.slice(contexts[i], -1);
        const top = top_logprobs.slice(contexts[i], -1);
        return {
          logLikelihood: own.reduce((sum, logProb) => sum + logProb, 0),
          isGreedy: own.every((logProb, j) => logProb === Math.max(...Object.values(top[j]))),
        };
      });

  it('gets the log-likelihoods of model.loss, up to one token more than the window', async () => {
    const { post } = await serve();
    const lengths = [2, 5, seqLen, seqLen + 1];
    const prompts = lengths.map((length) => [...randomIntegers(`of ${length}`, length, 300)]);
    const answer = (await (await post(payload(prompts))).json()) as Answer;
    const results = parse(
      answer,
      lengths.map(() => 1),
    );
    prompts.forEach((prompt, i) => {
      const [tokenIds, targets] = [prompt.slice(0, -1), prompt.slice(1)].map((ids) => Int32Array.from(ids));
      const batch = { numSequences: 1, seqLen: prompt.length - 1, domains: Int32Array.of(1) };
      const { sequenceLosses } = inference().model.loss({ ...batch, tokenIds, targets }, { training: false });
      const expected = -sequenceLosses[0] * (prompt.length - 1);
      expect(Math.abs(results[i].logLikelihood - expected)).toBeLessThan(1e-4);
      expect(results[i].isGreedy).toBe(false);
    });
    const tooLong = await post(payload([Array<number>(seqLen + 2).fill(1)]));
    expect(tooLong.status).toBe(400);
    expect(await tooLong.json()).toMatchObject({ error: { code: 'context_length_exceeded' } });
  });

  it('sees that a continuation is greedy', async () => {
    const { post } = await serve();
    const context = [...randomIntegers('context', 4, 300)];
    const prompt = context.slice();
    for (let i = 0; i < 6; i++) {
      const logits = inference().model.logits(Int32Array.from(prompt), 1);
      prompt.push(logits.indexOf(Math.max(...logits)));
    }
    const answer = (await (await post(payload([prompt, prompt]))).json()) as Answer;
    expect(parse(answer, [4, 1]).map(({ isGreedy }) => isGreedy)).toEqual([true, false]);
  });

  it('gets a tokenizer from the server', async () => {
    const { root } = await serve();
    const ask = async (place: string, body: object) =>
      (await fetch(`${root}/${place}`, { method: 'POST', body: JSON.stringify(body) })).json();
    expect(await (await fetch(`${root}/tokenizer_info`)).json()).toEqual({ eos_token: '<|endoftext|>' });
    const { tokens } = (await ask('tokenize', { prompt: 'the 猫', add_special_tokens: false })) as {
      tokens: number[];
    };
    expect(tokens).toEqual([...inference().tokenizer.encode('the 猫')]);
    expect(await ask('tokenize', { prompt: '<|endoftext|>' })).toMatchObject({
      tokens: [inference().tokenizer.endOfText],
    });
    expect(await ask('detokenize', { tokens })).toEqual({ prompt: 'the 猫' });
    const error = { message: expect.stringContaining('token id 99999'), param: 'tokens' };
    expect(await ask('detokenize', { tokens: [...tokens, 99_999] })).toMatchObject({ error });
  });
});

describe('many callers', () => {
  it('get what each would get alone', async () => {
    const { client } = await serve();
    const prompts = Array.from({ length: 30 }, (_, i) => `the cat sat ${i % 7}`);
    const answers = await Promise.all(
      prompts.map((prompt) => client.completions.create({ model: 'run:a', prompt, ...GREEDY })),
    );
    answers.forEach(({ choices: [{ text }] }, i) => {
      const alone = { prompt: prompts[i], domain: 0, maxTokens: 12, stop: [], seed: 1 };
      const sampling = { temperature: 0, topK: null, topP: 1, repetitionPenalty: 1 };
      if (i < 7) expect(text).toBe(generateText(inference(), { ...alone, ...sampling }));
      else expect(text).toBe(answers[i % 7].choices[0].text);
    });
  });

  it('are refused a text that would keep the others waiting', async () => {
    const { root } = await serve();
    const tokenize = (prompt: string) =>
      fetch(`${root}/tokenize`, { method: 'POST', body: JSON.stringify({ prompt }) });
    const refused = await tokenize('a '.repeat(2_000_000));
    expect(refused.status).toBe(400);
    const message = expect.stringContaining('4000000 characters: at most 65536 are taken');
    expect(await refused.json()).toMatchObject({ error: { code: 'context_length_exceeded', message } });
    expect((await tokenize('a '.repeat(32_768))).status).toBe(200);
  });

  it('are told to come again when the queue is full', async () => {
    const { post, health } = await serve({ maxBatch: 1, maxWaiting: 2 });
    const long = { model: 'run:a', prompt: 'the', max_tokens: 30_000, temperature: 0 };
    const leave = new AbortController();
    const first = [0, 1, 2].map(() => post(long, leave.signal).catch(() => null));
    await expect.poll(async () => (await health()).waiting).toBe(2);
    const refused = await post(long);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await refused.json()).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
    // A caller that disconnects frees its place.
    leave.abort();
    await Promise.all(first);
    await expect.poll(async () => (await health()).running).toBe(0);
    expect((await post({ model: 'run:a', prompt: 'the', max_tokens: 2 })).status).toBe(200);
    expect((await post({ model: 'run:a', prompt: ['a', 'b', 'c'] })).status).toBe(400);
  });

  it('free their place when they stop reading a stream', async () => {
    const { client, health } = await serve();
    const asked = { model: 'run:a', prompt: 'the', max_tokens: 30_000, temperature: 0 };
    const stream = await client.completions.create({ ...asked, stream: true });
    for await (const _ of stream) break;
    await expect.poll(async () => (await health()).running).toBe(0);
  });

  it('do not wait for ever', async () => {
    const { post } = await serve({ requestTimeout: 1 });
    const long = { model: 'run:a', prompt: 'the', max_tokens: 30_000, temperature: 0, n: 4 };
    const [whole, streamed] = await Promise.all([post(long), post({ ...long, stream: true })]);
    expect(whole.status).toBe(504);
    expect(await whole.json()).toMatchObject({ error: { type: 'server_error', code: 'timeout' } });
    expect((await streamed.text()).trim().split('\n').at(-1)).toMatch(/^data: \{"error":.*"timeout"/);
  });

  it('are answered before the server closes, and refused from then on', async () => {
    const { server, post, health } = await serve();
    const asked = { model: 'run:a', prompt: 'the', max_tokens: 600, temperature: 0 };
    // The head of a stream arrives while its tokens are still generated.
    const running = await post({ ...asked, stream: true });
    const closed = server.close(30_000);
    expect((await post({ model: 'run:a', prompt: 'the' })).status).toBe(503);
    expect((await running.text()).trim()).toMatch(/data: \[DONE\]$/);
    await closed;
    await expect(health()).rejects.toThrow();
  });
});

it('answers in the form of OpenAI to what is no request', async () => {
  const { post } = await serve();
  const nothing = await post({}, undefined, 'moderations');
  expect(nothing.status).toBe(404);
  expect(await nothing.json()).toMatchObject({ error: { message: 'there is no POST /v1/moderations here' } });
  expect(await (await post('{')).json()).toMatchObject({ error: { param: 'body' } });
  expect((await post(`{"prompt":"${'a'.repeat(5 << 20)}"}`)).status).toBe(413);
  // A tokenizer of another model may refuse a long word.
  const refused = asApiError(new TrainerError('BAD_INPUT', 'a word in it is too long for the tokenizer'));
  expect(refused).toMatchObject({ status: 400, details: { param: 'prompt' } });
});

const COMMON_NAMES = ['model', 'domain', 'temperature', 'top_p', 'top_k', 'n', 'stop', 'seed', 'max_tokens'];
const MORE_NAMES = ['repetition_penalty', 'stream_options', 'user', 'other'];

it.each([
  [
    'completions',
    { model: 'run:a', prompt: 'the', max_tokens: 3 },
    ['prompt', 'logprobs', 'echo', 'best_of'],
  ],
  [
    'chat/completions',
    { model: 'run:b', messages: [{ role: 'user', content: 'the' }], max_tokens: 3 },
    ['messages', 'max_completion_tokens', 'response_format', 'tools'],
  ],
  ['embeddings', { model: 'run:a', input: 'the' }, ['input', 'encoding_format', 'dimensions']],
])('answers anything with %s or the field that is wrong', async (place, body, own) => {
  const { post } = await serve();
  const role = fc.constantFrom('user', 'system', 'assistant', 'developer', 'tool', null);
  const values = fc.oneof(
    fc.jsonValue(),
    fc.integer({ min: -3, max: 20 }),
    fc.double(),
    fc.constantFrom('run:a', 'a', '', true, null, [5, 6], [[1], [2, 3]], 1e300, '\ud800'),
    fc.array(fc.record({ role, content: fc.oneof(fc.string(), fc.jsonValue()) }), { maxLength: 3 }),
  );
  const names = [...COMMON_NAMES, ...MORE_NAMES, ...own];
  const fields = fc.dictionary(fc.constantFrom(...names), values, { maxKeys: 4 });
  await fc.assert(
    fc.asyncProperty(fields, async (wild) => {
      const response = await post({ ...body, ...wild }, undefined, place);
      const answer = (await response.json()) as { error?: { message: string; param: string } };
      expect([200, 400, 404], JSON.stringify(wild)).toContain(response.status);
      if (response.status !== 200) {
        expect(answer.error!.message.length, JSON.stringify(wild)).toBeGreaterThan(5);
        expect([...Object.keys(wild), 'body']).toContain(answer.error!.param.split(/[.[]/)[0]);
      }
    }),
    { numRuns: NIGHTLY ? 200 : 50, endOnFailure: true },
  );
});

it('does nothing for a page of another origin', async () => {
  const { root, post } = await serve();
  const body = JSON.stringify({ model: 'run:a', prompt: 'the', max_tokens: 1 });
  const ask = (origin: string) =>
    fetch(`${root}/v1/completions`, { method: 'POST', body, headers: { Origin: origin } });
  for (const origin of ['http://elsewhere.example', 'null']) {
    const refused = await ask(origin);
    expect(refused.status).toBe(403);
    expect(await refused.text()).toContain('its own page');
  }
  expect((await ask(root)).status).toBe(200);
  expect((await post(body)).status).toBe(200);
});

it('asks for its token, and needs one beyond loopback', async () => {
  const options = { host: '0.0.0.0', token: 'sesame-sesame-sesame' };
  const { client, root } = await serve(options, options.token);
  expect((await client.models.list()).data).toHaveLength(2);
  const stranger = new OpenAI({ baseURL: `${root}/v1`, apiKey: 'wrong', maxRetries: 0 });
  await expect(stranger.models.list()).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' });
  expect((await fetch(`${root}/health`)).status).toBe(200);
  await expect(serve({ host: '0.0.0.0' })).rejects.toThrow(/can be reached from other machines/);
});

describe('routes', () => {
  interface Answer {
    readonly choices: readonly {
      readonly index: number;
      readonly text: string;
      readonly routes?: readonly TokenRoutes[];
      readonly message?: object;
    }[];
  }
  const answerOf = async (response: Response) => (await response.json()) as Answer;
  const eventsOf = async (response: Response): Promise<Answer[]> =>
    (await response.text())
      .split('\n\n')
      .filter((event) => event.startsWith('data: {'))
      .map((event) => JSON.parse(event.slice('data: '.length)));
  const prompt = [...randomIntegers('routes', 7, 200)];
  const asked = { model: 'run:a', prompt, temperature: 0, max_tokens: 6, seed: 1 };

  it('tells what the model itself chooses for the prompt and for generated tokens, in a stream too', async () => {
    const { post } = await serve();
    const [plain] = (await answerOf(await post(asked))).choices;
    expect(plain).not.toHaveProperty('routes');
    const [choice] = (await answerOf(await post({ ...asked, routes: true }))).choices;
    expect(choice!.text).toBe(plain!.text);
    const { routes } = choice!;
    expect(routes!.slice(0, 7).map(({ id }) => id)).toEqual(prompt);
    // The last generated token is never an input, so it has no routes.
    expect(routes).toHaveLength(7 + 5);

    const ids = routes!.map(({ id }) => id);
    const expected = ids.map((): TokenRoutes['layers'][number][] => []);
    const [tokenIds, domains] = [Int32Array.from(ids), Int32Array.of(0)];
    const tokens = { numSequences: 1, seqLen: ids.length, tokenIds, domains };
    tf.tidy(() => {
      inference().model.hidden(tokens, {
        training: false,
        wantsScores: true,
        inspect(layer, _, { numChoices, chosenTK, expertsTK, weightsTK, scores, keptE }) {
          const weights = weightsTK!.dataSync<'float32'>();
          for (const [at, expert] of chosenTK.entries()) {
            const t = Math.floor(at / numChoices);
            if (at % numChoices === 0) expected[t]!.push({ layer, choices: [] });
            if (expert < 0) continue;
            const gate = scores!.gateTE[t * keptE.length + expert]!;
            const outcome = expertsTK[at] === expert ? 'kept' : 'not chosen';
            const score = { score: gate, gate, bias: null, preference: null };
            const choice = { expert, weight: weights[at], outcome, ...score };
            (expected[t]!.at(-1)!.choices as object[]).push(choice);
          }
        },
      });
    });
    expect(expected[0]!.length).toBe(inference().config.model.numSparseLayers);
    const exact = (layers: TokenRoutes['layers']) =>
      layers.map(({ layer, choices }) => [layer, choices.map(({ expert, outcome }) => [expert, outcome])]);
    const numbers = (layers: TokenRoutes['layers']) =>
      layers.flatMap(({ choices }) => choices.flatMap(({ weight, score, gate }) => [weight, score!, gate!]));
    for (const [t, { layers, token, id }] of routes!.entries()) {
      expect(exact(layers)).toEqual(exact(expected[t]!));
      expectClose(numbers(layers), numbers(expected[t]!), 1e-5);
      expect(token).toBe(tokenName(inference().tokenizer, id));
    }

    const events = await eventsOf(await post({ ...asked, routes: true, stream: true }));
    expect(events.length).toBeGreaterThan(1);
    expect(events[0]!.choices[0]!.routes!.length).toBeGreaterThanOrEqual(7);
    expect(events.flatMap(({ choices }) => choices[0]!.routes!)).toEqual(routes);
    for (const { choices } of await eventsOf(await post({ ...asked, stream: true })))
      expect(choices[0]).not.toHaveProperty('routes');
  });

  it('are of each choice where callers share a batch, of the window where the prompt is longer, and where it slides', async () => {
    const { post } = await serve();
    const [alone] = (await answerOf(await post({ ...asked, routes: true }))).choices;
    const others = { ...asked, prompt: [prompt, [...prompt, 5]], n: 2, routes: true };
    const [together, plain] = await Promise.all([post(others), post(asked)]);
    const { choices } = await answerOf(together);
    expect(choices.map(({ routes }) => routes!.length)).toEqual([12, 12, 13, 13]);
    for (const { routes } of choices.slice(0, 2)) expect(namesOf(routes!)).toEqual(namesOf(alone!.routes!));
    expect((await answerOf(plain)).choices[0]).not.toHaveProperty('routes');

    const long = [...randomIntegers('long', seqLen + 3, 200)];
    const [slid] = (await answerOf(await post({ ...asked, prompt: long, max_tokens: 4, routes: true })))
      .choices;
    expect(slid!.routes!.slice(0, seqLen).map(({ id }) => id)).toEqual(long.slice(3));
    expect(slid!.routes).toHaveLength(seqLen + 3);
  });

  it('stand in answers of the chat; what is no yes or no, or too much, is refused by name', async () => {
    const { post } = await serve();
    const chat = { model: 'run:b', messages: [{ role: 'user', content: 'the cat' }], max_tokens: 2 };
    const ask = (body: object) => post(body, undefined, 'chat/completions');
    const [answer] = (await answerOf(await ask({ ...chat, routes: true }))).choices;
    expect(answer!.message).toMatchObject({ role: 'assistant' });
    expect(answer!.routes!.length).toBeGreaterThan(3);
    expect(answer!.routes![0]!.layers.length).toBe(inference().config.model.numSparseLayers);
    expect((await answerOf(await ask(chat))).choices[0]).not.toHaveProperty('routes');
    for (const refused of [
      await post({ ...asked, routes: 'yes' }),
      await ask({ ...chat, routes: 1 }),
      await post({ ...asked, routes: true, max_tokens: 10_000 }),
    ]) {
      expect(refused.status).toBe(400);
      expect(((await refused.json()) as { error: { param: string } }).error.param).toBe('routes');
    }
  });

  function namesOf(routes: readonly TokenRoutes[]) {
    return routes.map(({ id, layers }) => [
      id,
      layers.map(({ choices }) => choices.map(({ expert }) => expert)),
    ]);
  }
});
