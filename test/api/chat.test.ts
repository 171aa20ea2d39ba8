import type OpenAI from 'openai';
import { expect, it } from 'vitest';
import { tokenName } from '../../src/api/token-log.js';
import { encodeMessages, templateOf } from '../../src/data/template.js';
import { generateText } from '../../src/inference/generate.js';
import { servedModel } from './support.js';

const { inference, serve } = servedModel();
const MESSAGES = [
  { role: 'system', content: 'in one word' },
  { role: 'user', content: 'the cat' },
  { role: 'assistant', content: 'sat' },
  { role: 'user', content: 'der Kater?' },
] as const;
const ASKED = { model: 'run:b', max_completion_tokens: 12, temperature: 0.9, top_p: 0.9, seed: 5 };

it('answers in the form that the domain was fine-tuned with, with the text of locmoe generate', async () => {
  const { client } = await serve();
  const answer = await client.chat.completions.create({ ...ASKED, messages: [...MESSAGES] });
  const sampling = { temperature: 0.9, topK: null, topP: 0.9, repetitionPenalty: 1 };
  const content = generateText(inference(), {
    prompt: MESSAGES,
    domain: 1,
    maxTokens: 12,
    stop: [],
    seed: 5,
    ...sampling,
  });
  expect(answer).toMatchObject({ object: 'chat.completion', model: 'run:b' });
  expect(answer.choices).toEqual([
    {
      index: 0,
      message: { role: 'assistant', content, refusal: null },
      logprobs: null,
      finish_reason: expect.stringMatching(/^(stop|length)$/),
    },
  ]);
  const template = templateOf(inference().config.data, 1)!;
  const { ids } = encodeMessages(MESSAGES, template, inference().tokenizer);
  expect(answer.usage!.prompt_tokens).toBe(ids.length - 1);

  // A message as the API returned it, content in parts, and the new name of a role.
  const [{ message }] = answer.choices;
  const ask = (messages: OpenAI.ChatCompletionMessageParam[]) =>
    client.chat.completions.create({ ...ASKED, messages });
  const parts = ['in one', 'word'].map((text) => ({ type: 'text', text }) as const);
  const last = { role: 'user', content: 'a' } as const;
  const more = await ask([
    { role: 'developer', content: parts },
    { role: 'user', content: 'the cat', name: 'me' },
    message,
    last,
  ]);
  const same = await ask([
    { role: 'system', content: 'in one\nword' },
    { role: 'user', content: 'the cat' },
    { role: 'assistant', content },
    last,
  ]);
  expect(more.choices).toEqual(same.choices);
});

it('streams what it gets at once', async () => {
  const { client } = await serve();
  const request = { ...ASKED, messages: [...MESSAGES], n: 2, stop: ['zz'] };
  const whole = await client.chat.completions.create(request);
  const stream = client.chat.completions.stream({ ...request, stream_options: { include_usage: true } });
  const firsts: unknown[] = [];
  for await (const { object, choices } of stream) {
    expect(object).toBe('chat.completion.chunk');
    for (const { index, delta } of choices) firsts[index] ??= delta.role;
  }
  const streamed = await stream.finalChatCompletion();
  expect(firsts).toEqual(['assistant', 'assistant']);
  const contentsOf = ({ choices }: OpenAI.ChatCompletion) =>
    choices.map(({ message, finish_reason }) => [message.content, finish_reason]);
  expect(contentsOf(streamed)).toEqual(contentsOf(whole));
  expect(streamed.usage).toEqual(whole.usage);
});

it('tells the log-probabilities of an answer, in a stream too', async () => {
  const { client } = await serve();
  const messages = [{ role: 'user' as const, content: 'a' }];
  const asked = { ...ASKED, messages, temperature: 0, logprobs: true, top_logprobs: 3 };
  const [{ message, logprobs }] = (await client.chat.completions.create(asked)).choices;
  const { tokenizer, model, config } = inference();
  const ids = [...encodeMessages(messages, templateOf(config.data, 1)!, tokenizer).ids];
  for (const { token, logprob, top_logprobs } of logprobs!.content!) {
    const logits = model.logits(Int32Array.from(ids.slice(-config.model.seqLen)), 1);
    const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a]);
    ids.push(order[0]);
    expect(token).toBe(tokenName(tokenizer, order[0]));
    expect(logprob).toBeCloseTo(logits[order[0]] - total, 4);
    expect(top_logprobs.map((top) => [top.token, expect.closeTo(top.logprob, 4)])).toEqual(
      order.slice(0, 3).map((id) => [tokenName(tokenizer, id), logits[id] - total]),
    );
  }
  const bytes = logprobs!.content!.flatMap((each) => each.bytes ?? []);
  expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(message.content);
  const streamed: unknown[] = [];
  for await (const { choices } of await client.chat.completions.create({ ...asked, stream: true }))
    streamed.push(...choices[0].logprobs!.content!);
  expect(streamed).toEqual(logprobs!.content);
});

it('answers with a whole JSON object, however few tokens there may be, of a model that knows nothing of JSON', async () => {
  const { client } = await serve();
  for (const max_completion_tokens of [2, 5, 20, 200]) {
    const { choices, usage } = await client.chat.completions.create({
      ...ASKED,
      messages: [{ role: 'user', content: 'a' }],
      max_completion_tokens,
      n: 4,
      response_format: { type: 'json_object' },
    });
    for (const { message, finish_reason } of choices) {
      expect(JSON.parse(message.content!), message.content!).toEqual(expect.any(Object));
      const between = message.content!.replace(/"(?:[^"\\]|\\.)*"/g, '""');
      expect(between).not.toMatch(/[\r\t]|\n\s*\n|[^\n ] {2}/);
      expect(finish_reason).toBe('stop');
    }
    expect(usage!.completion_tokens).toBeLessThanOrEqual(4 * max_completion_tokens);
  }
});

it.each([
  [{ messages: [] }, 'messages', /give at least one/],
  [{ messages: undefined }, 'messages', /expected array/],
  [{ messages: [{ role: 'tool', content: 'a' }] }, 'messages[0].role', /system/],
  [{ messages: [MESSAGES[1], { role: 'user' }] }, 'messages[1].content', /give a text/],
  [
    { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
    'messages[0].content',
    /parts of type text/,
  ],
  [{ messages: [{ ...MESSAGES[1], tool_calls: [] }] }, 'messages[0].tool_calls', /does not have/],
  [{ messages: MESSAGES.slice(0, 3) }, 'messages', /the last one is an answer/],
  [{ max_tokens: 3 }, 'max_completion_tokens', /12, but max_tokens is 3/],
  [{ max_completion_tokens: 0 }, 'max_completion_tokens', />=1/],
  [{ tools: [{ type: 'function' }] }, 'tools', /does not support/],
  [{ response_format: { type: 'json_schema' } }, 'response_format.type', /json_object/],
  [
    { response_format: { type: 'json_object' }, max_completion_tokens: 1 },
    'response_format',
    /at least 2 tokens/,
  ],
  [{ response_format: { type: 'json_object' }, stop: ['x'] }, 'stop', /would cut the JSON object/],
  [{ logprobs: 3 }, 'logprobs', /expected boolean/],
  [{ top_logprobs: 2 }, 'top_logprobs', /needs logprobs: true/],
  [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs', /<=20/],
  [{ prompt: 'a' }, 'prompt', /does not have/],
  [
    { model: 'run:a' },
    'model',
    /^400 model: run:a was not fine-tuned with answers and has no template for messages: use run:b or \/v1\/completions$/,
  ],
])('names the field that is wrong: %j', async (fields, param, message) => {
  const { client } = await serve();
  const wrong = client.chat.completions.create({ ...ASKED, messages: [...MESSAGES], ...(fields as object) });
  await expect(wrong).rejects.toMatchObject({ status: 400, param, type: 'invalid_request_error' });
  await expect(wrong).rejects.toThrow(message);
});
