import { z } from 'zod';
import { type Message, ROLES } from '../data/template.js';
import type { Tokenizer } from '../data/tokenizer/tokenizer.js';
import { CHAT } from './answer-form.js';
import { invalid } from './api-error.js';
import {
  assertAnswerFits,
  assertTextFits,
  type CompletionRequest,
  commonFields,
  commonOf,
  encoded,
  ignoredFields,
  MAX_LOGPROBS,
  refusalOf,
} from './completion-request.js';
import type { ServedModels } from './served-models.js';

const ignored = {
  ...ignoredFields,
  tools: z.array(z.unknown()).max(0).nullish(),
  store: z.literal(false).nullish(),
};
const messageSchema = z.strictObject({
  // `developer` is the newer name of `system`.
  role: z.enum([...ROLES, 'developer']),
  content: z.union([z.string(), z.array(z.strictObject({ type: z.literal('text'), text: z.string() }))], {
    error: 'give a text, or a list of parts of type text',
  }),
  name: z.string().nullish(),
  // Clients send an answer back as they received it, with this field.
  refusal: z.null().optional(),
});
const bodySchema = z.strictObject({
  messages: z.array(messageSchema).min(1, 'give at least one'),
  max_tokens: z.number().int().min(1).nullish(),
  max_completion_tokens: z.number().int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  response_format: z.strictObject({ type: z.enum(['text', 'json_object']) }).nullish(),
  top_logprobs: z.number().int().min(0).max(MAX_LOGPROBS).nullish(),
  ...commonFields,
  ...ignored,
});

/**
 * Checks the body of `POST /v1/chat/completions`, and puts its messages into the form of the domain.
 *
 * @throws ApiError 400 naming the field, also for a domain that takes no conversations; 404 for an unknown model
 */
export function readChatRequest(
  body: unknown,
  { models, tokenizer, seqLen }: { models: ServedModels; tokenizer: Tokenizer; seqLen: number },
): CompletionRequest {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success) throw refusalOf(parsed.error, ignored);
  const given = parsed.data;
  const { max_tokens, max_completion_tokens } = given;
  const maxTokens = max_completion_tokens ?? max_tokens ?? seqLen;
  if ((max_tokens ?? maxTokens) !== maxTokens)
    throw invalid('max_completion_tokens', `${maxTokens}, but max_tokens is ${max_tokens}`);
  assertAnswerFits(maxTokens, seqLen, max_completion_tokens == null ? 'max_tokens' : 'max_completion_tokens');
  const json = given.response_format?.type === 'json_object';
  if (json && maxTokens < 2) throw invalid('response_format', 'a JSON object takes at least 2 tokens');
  if (json && given.stop?.length)
    throw invalid('stop', 'would cut the JSON object that response_format asks for: give one of the two');
  const logprobs = given.logprobs ? (given.top_logprobs ?? 0) : null;
  if (logprobs === null && given.top_logprobs) throw invalid('top_logprobs', 'needs logprobs: true');
  const domain = models.domainOf(given.model, given.domain ?? null);
  const chatForm = models.chatFormOf(domain);
  if (chatForm === null) {
    const others = models.names.filter((_, id) => models.chatFormOf(id) !== null);
    throw invalid(
      'model',
      `${models.names[domain]} was not fine-tuned with answers and has no template for messages: use ${[...others, '/v1/completions'].join(' or ')}`,
    );
  }
  const messages = given.messages.map(
    ({ role, content }): Message => ({
      role: role === 'developer' ? 'system' : role,
      content: typeof content === 'string' ? content : content.map(({ text }) => text).join('\n'),
    }),
  );
  assertTextFits(messages.map(({ content }) => content).join(''), seqLen, 'messages');
  if (messages.at(-1)!.role === 'assistant')
    throw invalid('messages', 'the last one is an answer: end with what is to be answered');
  const { tokenIds, ends } = encoded('messages', () => chatForm(messages, tokenizer));
  return {
    ...commonOf(given),
    domain,
    maxTokens,
    logprobs,
    echo: false,
    json,
    form: CHAT,
    prompts: [{ tokenIds, numImplicit: tokenIds[0] === tokenizer.endOfText ? 1 : 0, text: '' }],
    ends,
  };
}
