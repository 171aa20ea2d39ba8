import path from 'node:path';
import type { HttpFeature } from '@locmoe/logs/http';
import { type Command, Option } from 'commander';
import type { ServeApiOptions } from '../../api/serve-api.js';
import { TrainerError } from '../../errors.js';
import { formatNumberOf } from '../../format.js';
import { chatFormOf } from '../../inference/chat-form.js';
import { examplePrompts } from '../../local/example-prompts.js';
import { loadInference } from '../../local/load-inference.js';
import { nextSignal } from '../../os/on-signals.js';
import { formatAddress, isLoopback } from '../../rpc/address.js';
import { loadToken } from '../../rpc/security.js';
import { openCheckpoint } from '../open-checkpoint.js';
import { loadExport } from '../packages.js';
import { wholeNumber } from './options.js';

interface ApiOptions extends Omit<ServeApiOptions, 'token' | 'page' | 'examples'> {
  readonly checkpoint: string;
  readonly dataDir: string;
  readonly tokenFile?: string;
}

const DRAIN_MS = 30_000;

/** `locmoe api`: serves a checkpoint to programs that speak OpenAI's API. */
export function apiCommand(command: Command): void {
  command
    .requiredOption('--checkpoint <dir>', 'a step folder, or a run (its name) for its newest checkpoint')
    .option('--host <host>', 'address to listen at', '127.0.0.1')
    .option('--port <port>', 'port; 0 takes a free one', wholeNumber(0, 65535), 8000)
    .addOption(
      new Option(
        '--token-file <file>',
        'file with the token that callers must give as their API key; required beyond loopback (locmoe certs)',
      ).env('LOCMOE_TOKEN_FILE'),
    )
    .option('--data-dir <dir>', 'folder for prepared datasets, of which the examples are', 'data')
    .option('--max-batch <n>', 'texts that are continued together', wholeNumber(1), 16)
    .option('--max-waiting <n>', 'texts that may wait; more get status 429', wholeNumber(1), 256)
    .option('--request-timeout <s>', 'time for one request', wholeNumber(1, 86_400), 300)
    .action(serve);
}

async function serve(options: ApiOptions): Promise<void> {
  const { host, tokenFile } = options;
  const token = tokenFile ? loadToken(tokenFile) : null;
  if (token === null && !isLoopback(host))
    throw new TrainerError(
      'BAD_INPUT',
      `--host ${host} can be reached from other machines: give --token-file FILE (locmoe certs makes one), or listen on 127.0.0.1`,
    );
  const checkpoint = openCheckpoint(options.checkpoint);
  const inference = await loadInference(checkpoint);
  const page = await pageOrWarning();
  const examples = examplePrompts(inference, options.dataDir);
  const { serveApi } = await import('../../api/serve-api.js');
  const server = await serveApi(inference, { ...options, token, examples, page });
  // The handler is registered before the address is printed, as a signal may follow at once.
  const stopped = nextSignal();
  const root = `http://${formatAddress(server.address)}`;
  console.log(`api: ${root}/v1`);
  if (page !== null) console.log(`page: ${root}/`);
  console.log(`models: ${server.models.join(', ')}`);
  console.log(`context: ${formatNumberOf(inference.config.model.seqLen, 'token')}`);
  const [content] = examples[0]!;
  const isChat = chatFormOf(inference.checkpoint, 0) !== null;
  const input = isChat ? { messages: [{ role: 'user', content }] } : { prompt: content };
  const body = JSON.stringify({ model: server.models[0], ...input, max_tokens: 40 });
  const key = tokenFile ? `-H "Authorization: Bearer $(cat ${quoted(path.resolve(tokenFile))})" ` : '';
  const url = `${root}/v1/${isChat ? 'chat/' : ''}completions`;
  console.log(`example: curl ${quoted(url)} ${key}-d ${quoted(body)}`);
  console.log('serving until Ctrl-C');
  await stopped;
  await server.close(DRAIN_MS);
}

/** Quotes a text for a POSIX shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Returns null with a warning if the page cannot be loaded, as the API is served without it, too. */
async function pageOrWarning(): Promise<HttpFeature | null> {
  try {
    return (await loadExport()).chatFeature();
  } catch (error) {
    if (!(error instanceof TrainerError)) throw error;
    console.error(`locmoe: the API is served, but not its page: ${error.message}`);
    return null;
  }
}
