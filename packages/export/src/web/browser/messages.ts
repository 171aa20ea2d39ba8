// Messages between the page and the worker that computes.
import type { OnnxConfig } from '../../onnx/onnx-config.js';

interface Turn {
  readonly prefix: string;
  readonly suffix: string;
}

/** The model's config.json on the page. */
export interface ModelConfig extends OnnxConfig {
  readonly name: string;
  readonly numParameters: number;
  /** Names the operation that computes the affinities last (`Scores` of src/architecture/rule.ts); null for a dense model. */
  readonly affinities: string | null;
  /** Affinity below which an expert refuses a token, by sparse layer; null if no expert refuses tokens by affinity. */
  readonly thresholds: readonly (readonly number[] | null)[];
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** Template of a question by domain id; null for a domain of text. */
  readonly templates: readonly ({ readonly user: Turn; readonly assistant: Turn } | null)[];
}

/** Decision of the router of a sparse layer for a token; one element per expert. */
export interface LayerRouting {
  /** Weight of each expert; 0 where the expert does not take the token. */
  readonly weights: readonly number[];
  readonly affinities: readonly number[];
}

/** A token as a list shows it. */
export interface ShownToken {
  /**
   * The characters completed by its bytes; empty in the middle of a character, and for the start of the text.
   */
  readonly text: string;
  readonly kind: 'start' | 'prompt' | 'generated';
  /** By sparse layer, from the bottom: a weight for each expert, 0 if the expert does not take the token. */
  readonly layers: readonly { readonly weights: readonly number[] }[];
}

export interface RoutedToken extends ShownToken {
  readonly id: number;
  readonly layers: readonly LayerRouting[];
}

export interface GenerateRequest {
  /** Identifies the text in the answers; later texts have greater numbers. */
  readonly text: number;
  /** The text to continue, or the question in a domain with a template. */
  readonly prompt: string;
  readonly domain: number;
  readonly maxTokens: number;
  /** Sampling temperature; 0 always takes the most probable token. */
  readonly temperature: number;
}

/**
 * Why a text ended: the model drew the end-of-text token, the text has `maxTokens`, or a person stopped it.
 */
export type Ending = 'end-of-text' | 'length' | 'stopped';

export type ToWorker =
  | { readonly kind: 'generate'; readonly request: GenerateRequest }
  /** Stops this text and all earlier ones. */
  | { readonly kind: 'stop'; readonly upTo: number };

export type FromWorker =
  | { readonly kind: 'loading'; readonly bytes: number; readonly totalBytes: number }
  | { readonly kind: 'ready'; readonly config: ModelConfig }
  | { readonly kind: 'tokens'; readonly text: number; readonly tokens: readonly RoutedToken[] }
  | { readonly kind: 'done'; readonly text: number; readonly ending: Ending; readonly tokensPerS: number }
  /** `text` is null if nothing can be generated at all. */
  | { readonly kind: 'failed'; readonly text: number | null; readonly message: string };
