import type { Tokenizer } from '../data/tokenizer/tokenizer.js';
import type { Decoder } from '../inference/decoder.js';
import { TextDraw } from '../inference/text-draw.js';
import type { ApiMetrics } from '../metrics/prometheus/api-metrics.js';
import type { Piece } from './answer-form.js';
import type { CompletionRequest, RequestPrompt } from './completion-request.js';
import type { Job } from './scheduler.js';
import { TokenLog } from './token-log.js';
import { type TokenRoutes, tokenRoutes } from './token-routes.js';

/** The served model, with its tokenizer and metrics. */
export interface ModelContext {
  readonly decoder: Decoder;
  readonly tokenizer: Tokenizer;
  /** Length of the model's window, in tokens. */
  readonly seqLen: number;
  readonly metrics: ApiMetrics;
}

export interface ChoiceOptions extends ModelContext {
  readonly request: CompletionRequest;
  readonly prompt: RequestPrompt;
  /** Index among the choices of this prompt. */
  readonly index: number;
  readonly signal: AbortSignal;
  readonly onPiece: (piece: Piece) => void;
}

/** Elements of the logits that are computed at once for a prompt's log-probabilities. */
const LOGITS_AT_ONCE = 1 << 22;

/** One choice of an answer: draws tokens and turns them into text. */
export class Choice implements Job {
  readonly tokenIds: readonly number[];
  readonly domain: number;
  readonly maxTokens: number;
  readonly signal: AbortSignal;
  /** Rejects if the choice could not be finished. */
  readonly finished: Promise<void>;
  readonly #draw: TextDraw;
  readonly #log: TokenLog | null;
  readonly #meter;
  readonly onRoutes: Job['onRoutes'];
  /** Routes of the tokens that were read since the last piece. */
  #routes: TokenRoutes[] = [];
  /**
   * Last token of a prompt that is one token longer than the window and whose log-probabilities are wanted: the window
   * without this token gives the log-probabilities of all tokens.
   */
  #lastOfPrompt: number | null = null;
  #settle!: (error: unknown) => void;

  constructor(private readonly options: ChoiceOptions) {
    const { request, prompt, index, tokenizer, seqLen } = options;
    const isLonger = request.echo && request.logprobs !== null && prompt.tokenIds.length > seqLen;
    if (isLonger) this.#lastOfPrompt = prompt.tokenIds.at(-1)!;
    this.tokenIds = isLonger ? prompt.tokenIds.slice(0, -1) : prompt.tokenIds;
    this.domain = request.domain;
    this.maxTokens = request.maxTokens + (isLonger ? 1 : 0);
    this.signal = options.signal;
    this.#draw = new TextDraw({ ...request, tokenizer, tokenIds: prompt.tokenIds, index });
    this.#log = request.logprobs === null ? null : new TokenLog(tokenizer, request.logprobs);
    this.#meter = options.metrics.beginText();
    this.onRoutes = request.routes
      ? (tokens) => {
          for (const token of tokens) this.#routes.push(tokenRoutes(tokenizer, token));
        }
      : undefined;
    this.finished = new Promise((resolve, reject) => {
      this.#settle = (error) => (error === null ? resolve() : reject(error));
    });
    // Several choices may fail together; the caller reports one, and the others must not count as unhandled.
    this.finished.catch(() => undefined);
  }

  get numGenerated(): number {
    return this.#draw.numTokens;
  }

  read(hiddenSD: Float32Array): void {
    const { request, prompt, seqLen } = this.options;
    this.#meter.read(Math.min(this.tokenIds.length, seqLen));
    if (!request.echo) return;
    if (this.#log !== null) this.#logPrompt(this.#log, hiddenSD);
    this.#emit(prompt.text, this.maxTokens === 0 ? 'length' : null);
  }

  #logPrompt(log: TokenLog, hiddenSD: Float32Array): void {
    const { decoder, prompt, tokenizer } = this.options;
    const { tokenIds } = this;
    if (prompt.numImplicit === 0) log.add(tokenIds[0]!, null, true);
    const width = hiddenSD.length / tokenIds.length;
    const atOnce = Math.max(1, Math.floor(LOGITS_AT_ONCE / tokenizer.vocabSize));
    const last = tokenIds.length - 1;
    for (let begin = 0; begin < last; begin += atOnce) {
      const end = Math.min(last, begin + atOnce);
      decoder.logitsOf(hiddenSD.subarray(begin * width, end * width)).forEach((logits, i) => {
        log.add(tokenIds[begin + i + 1]!, logits, true);
      });
    }
  }

  next(logits: Float32Array): number | null {
    if (this.#lastOfPrompt !== null) return this.#endPrompt(this.#lastOfPrompt, logits);
    const { token, text, finishReason } = this.#draw.next(logits);
    this.#meter.drawn();
    this.#log?.add(token, logits, false);
    if (text !== '' || finishReason !== null) this.#emit(text, finishReason);
    return finishReason === null ? token : null;
  }

  #endPrompt(token: number, logits: Float32Array): number | null {
    this.#lastOfPrompt = null;
    this.#log?.add(token, logits, true);
    if (this.options.request.maxTokens > 0) return token;
    this.#emit('', 'length');
    return null;
  }

  end(error: unknown): void {
    this.#meter.end();
    this.#settle(error);
  }

  #emit(text: string, finishReason: Piece['finishReason']): void {
    const { request, onPiece } = this.options;
    const routes = request.routes ? this.#routes.splice(0) : null;
    onPiece({ text, logged: this.#log?.take() ?? null, routes, finishReason });
  }
}
