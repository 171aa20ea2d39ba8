import { TrainerError } from '../errors.js';
import type { LanguageModel } from '../model/language-model.js';
import { kernels } from '../ops/kernels/choose-kernels.js';
import { BLOCK_OF_CACHE, type KeyValueCache } from '../ops/on-host.js';
import { tf } from '../ops/tensorflow.js';
import { RouteCollector, type RoutedToken } from './routed-tokens.js';
import { rowModel } from './row-model.js';

// Shapes: B sequences, S positions, d hidden size, V vocabulary, C positions that a cache has room for.

export interface Prompt {
  /** Tokens of the prompt, at least one. */
  readonly tokenIds: readonly number[];
  /** Domain id: position in data.domains. */
  readonly domain: number;
  /** Maximum number of tokens to add, which sets the size of the cache. */
  readonly maxTokens: number;
  /** Called by `begin` and `extend`, before they return, with the routes of the tokens that they read. */
  readonly onRoutes?: ((tokens: readonly RoutedToken[]) => void) | undefined;
}

/** A sequence that grows token by token. */
export interface Decoding {
  readonly tokenIds: readonly number[];
  readonly domain: number;
  /** Rows that pass through the layers for the next token: 1, or the whole window once it slides. */
  readonly rowsOfNext: number;
}

/** A prompt that was read. */
export interface Begun {
  readonly sequence: Decoding;
  /** Hidden state of each position of the window, row-major [S, d]; `logitsOf` takes any of its rows. */
  readonly hiddenSD: Float32Array;
}

interface Growing extends Decoding {
  readonly tokenIds: number[];
  /** Caches by layer, from the bottom; null where the next window begins later than the cached one. */
  caches: readonly KeyValueCache[] | null;
  readonly onRoutes: Prompt['onRoutes'];
}

/**
 * Generates with a cache of keys and values: a new token passes through the layers alone, as one row, and attends to
 * the cached keys of earlier tokens. The prompt is read by `LanguageModel.hidden` in one pass.
 *
 * Positions are relative to the window. Beyond model.seqLen tokens the window slides: all positions change,
 * and every token takes a pass over the whole window.
 *
 * Rows live on the host. A call of TensorFlow costs some 10 us, about as much as the work on a row, and a
 * layer would take 40 calls. So TensorFlow only multiplies matrices and routes; the rest are loops with the
 * same arithmetic. Logits equal those of `LanguageModel.logits` up to rounding.
 */
export class Decoder {
  readonly #rowModel: ReturnType<typeof rowModel>;
  /** Length of a position's keys, and of its values, by attention from the bottom. */
  readonly #widthsOfKeys: readonly number[];
  /**
   * The head transposed, [d, V]: TensorFlow would pack it for every product, which takes ten times as
   * long as the product of a few rows.
   */
  readonly #headDV: tf.Tensor2D;

  /** @param model its parameters must not change from now on */
  constructor(private readonly model: LanguageModel) {
    const { architecture } = model;
    this.#rowModel = rowModel(model, architecture);
    this.#widthsOfKeys = architecture.blocks.flatMap(({ operation }) =>
      operation.op === 'attention' ? [operation.numKeyValueHeads * operation.headDim] : [],
    );
    this.#headDV = tf.tidy(() => tf.transpose(model.head));
  }

  /**
   * Reads prompts in one pass. Of a prompt that is longer than the model's window, only the end is read.
   *
   * @throws TrainerError `BAD_INPUT` if a prompt is empty or has an id that is not in the vocabulary
   */
  begin(prompts: readonly Prompt[]): Begun[] {
    const { seqLen } = this.model.config.model;
    const sequences = prompts.map(({ tokenIds, domain, maxTokens, onRoutes }): Growing => {
      assertTokens(tokenIds, this.model.config.model.vocabSize);
      const capacity = Math.min(seqLen, tokenIds.length + maxTokens);
      const hasRoom = tokenIds.length < capacity;
      return {
        tokenIds: [...tokenIds],
        domain,
        onRoutes,
        caches: hasRoom ? this.#emptyCaches(capacity) : null,
        get rowsOfNext() {
          return this.caches === null ? Math.min(seqLen, this.tokenIds.length + 1) : 1;
        },
      };
    });
    const hidden = this.#read(sequences, 0);
    return sequences.map((sequence, i) => ({ sequence, hiddenSD: hidden[i]! }));
  }

  /**
   * Appends a token to each sequence.
   *
   * @returns logits (length V) of the token that follows, by sequence
   */
  extend(sequences: readonly Decoding[], tokenIds: readonly number[]): Float32Array[] {
    const growing = sequences as readonly Growing[];
    growing.forEach((sequence, i) => {
      sequence.tokenIds.push(tokenIds[i]!);
    });
    const { dModel } = this.model.config.model;
    const cached = growing.filter(({ caches }) => caches !== null);
    const slid = growing.filter(({ caches }) => caches === null);
    const hidden = new Map<Growing, Float32Array>();
    const lastBD = this.#advance(cached);
    cached.forEach((sequence, i) => {
      hidden.set(sequence, lastBD.subarray(i * dModel, (i + 1) * dModel));
    });
    this.#read(slid, -1).forEach((hiddenSD, i) => {
      hidden.set(slid[i]!, hiddenSD.subarray(-dModel));
    });
    const rows = new Float32Array(growing.length * dModel);
    growing.forEach((sequence, i) => {
      rows.set(hidden.get(sequence)!, i * dModel);
    });
    return this.logitsOf(rows);
  }

  /**
   * Returns the logits (length V) of the token that follows each hidden state.
   *
   * @param hiddenTD row-major [T, d]
   */
  logitsOf(hiddenTD: Float32Array): Float32Array[] {
    const { dModel, vocabSize } = this.model.config.model;
    const numRows = hiddenTD.length / dModel;
    if (numRows === 0) return [];
    const logitsTV = kernels().hostRowsProduct(hiddenTD, numRows, this.#headDV);
    return Array.from({ length: numRows }, (_, row) =>
      logitsTV.subarray(row * vocabSize, (row + 1) * vocabSize),
    );
  }

  #emptyCaches(capacity: number): KeyValueCache[] {
    const rows = Math.ceil(capacity / BLOCK_OF_CACHE) * BLOCK_OF_CACHE;
    return this.#widthsOfKeys.map((width) => ({
      keys: new Float32Array(rows * width),
      values: new Float32Array(rows * width),
    }));
  }

  /**
   * Does a forward pass over the window of each sequence, which fills its caches.
   *
   * @param firstRead start of the new tokens in each window; negative to count from the end, as in `slice`
   * @returns hidden states of each window, [S, d]
   */
  #read(sequences: readonly Growing[], firstRead: number): Float32Array[] {
    if (sequences.length === 0) return [];
    const { seqLen: longestWindow, dModel } = this.model.config.model;
    const windows = sequences.map(({ tokenIds }) => tokenIds.slice(-longestWindow));
    // Shorter windows are padded at the end, which no earlier position attends to.
    const seqLen = Math.max(...windows.map((window) => window.length));
    const tokenIds = new Int32Array(sequences.length * seqLen);
    windows.forEach((window, i) => {
      tokenIds.set(window, i * seqLen);
    });
    const batch = {
      numSequences: sequences.length,
      seqLen,
      tokenIds,
      domains: Int32Array.from(sequences, ({ domain }) => domain),
    };
    const routes = new RouteCollector(
      sequences.flatMap(({ onRoutes }, i) => {
        const read = windows[i]!.slice(firstRead);
        return onRoutes === undefined
          ? []
          : [{ tokenIds: read, first: i * seqLen + windows[i]!.length - read.length, onRoutes }];
      }),
    );
    const { onDecision } = routes;
    let layer = 0;
    const keep = (_: string, qkvTC: tf.Tensor2D) => {
      const qkv = qkvTC.dataSync<'float32'>();
      const width = this.#widthsOfKeys[layer]!;
      sequences.forEach(({ caches }, i) => {
        if (caches === null) return;
        const { keys, values } = caches[layer]!;
        for (let position = 0; position < windows[i]!.length; position++) {
          const end = qkvTC.shape[1] * (i * seqLen + position + 1);
          keys.set(qkv.subarray(end - 2 * width, end - width), position * width);
          values.set(qkv.subarray(end - width, end), position * width);
        }
      });
      layer++;
    };
    const hidden: Float32Array[] = [];
    tf.tidy(() => {
      const inspectAttention = sequences.some(({ caches }) => caches !== null) ? keep : undefined;
      const { hiddenTD } = this.model.hidden(batch, {
        training: false,
        inspectAttention,
        wantsScores: onDecision !== undefined,
        inspect: onDecision && ((layer, _, decision) => onDecision(layer, decision)),
      });
      const values = hiddenTD.dataSync<'float32'>();
      windows.forEach((window, i) => {
        hidden.push(values.slice(i * seqLen * dModel, (i * seqLen + window.length) * dModel));
      });
    });
    routes.end();
    return hidden;
  }

  /** Passes the last token of each sequence through the layers; returns its hidden states, [B, d]. */
  #advance(sequences: readonly Growing[]): Float32Array {
    if (sequences.length === 0) return new Float32Array(0);
    const routes = new RouteCollector(
      sequences.flatMap(({ tokenIds, onRoutes }, row) =>
        onRoutes === undefined ? [] : [{ tokenIds: tokenIds.slice(-1), first: row, onRoutes }],
      ),
    );
    const hiddenBD = this.#rowModel({
      tokenIdsT: Int32Array.from(sequences, ({ tokenIds }) => tokenIds.at(-1)!),
      idBefore: (row, distance) => sequences[row]!.tokenIds.at(-1 - distance) ?? sequences[row]!.tokenIds[0]!,
      domainsT: Int32Array.from(sequences, ({ domain }) => domain),
      positions: sequences.map(({ tokenIds }) => tokenIds.length - 1),
      caches: sequences.map(({ caches }) => caches!),
      onDecision: routes.onDecision,
    });
    routes.end();
    const { seqLen } = this.model.config.model;
    for (const sequence of sequences) if (sequence.tokenIds.length === seqLen) sequence.caches = null;
    return hiddenBD;
  }
}

function assertTokens(tokenIds: readonly number[], vocabSize: number): void {
  if (tokenIds.length === 0) throw new TrainerError('BAD_INPUT', 'an empty prompt: give at least one token');
  const wrong = tokenIds.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong !== undefined)
    throw new TrainerError('BAD_INPUT', `token id ${wrong}: the model knows ids 0 to ${vocabSize - 1}`);
}
