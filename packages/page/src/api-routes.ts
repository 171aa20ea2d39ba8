/** The same names as in routes-file.ts of run-format, which is not loaded in browsers. */
export type RouteOutcome = 'kept' | 'over capacity' | 'not chosen';
export type RouteLink = 'rank' | 'node' | 'network';

/** The recorded steps of a run, ascending. */
export interface RecordedSteps {
  readonly steps: readonly number[];
  /** Number of files of each step, one per rank. A live run may not have written all of them yet. */
  readonly files: readonly number[];
  /** Number of older steps that are left out. */
  readonly leftOut: number;
  /** `train.recordRoutes` of the run; null if it does not record routes. */
  readonly recording: { readonly every: number; readonly share: number } | null;
  /** The command of this run with the option that records routes. */
  readonly command: string;
}

/** Summary of a recorded step over all its sequences. */
export interface StepRoutes {
  readonly step: number;
  /** One line for each file that could not be read, with the reason. */
  readonly problems: readonly string[];
  readonly choices: number;
  /** Sparse layers, ascending. */
  readonly layers: readonly number[];
  readonly numExperts: number;
  /** Experts that are open to each domain. */
  readonly expertsOfDomain: Readonly<Record<string, readonly number[]>>;
  /** Columns over the sequences, in ascending order. */
  readonly sequences: {
    readonly sequence: readonly number[];
    readonly domain: readonly string[];
    readonly rank: readonly number[];
    readonly node: readonly number[];
  };
  /** Choices of each expert, shape [layers, experts]. */
  readonly routed: readonly (readonly number[])[];
  readonly kept: readonly (readonly number[])[];
  /**
   * Bytes from rank to rank and from node to node in one direction, over all layers; `ranks` is null if there
   * are too many to show.
   */
  readonly ranks: LinkMatrix | null;
  readonly nodes: LinkMatrix;
}

export interface LinkMatrix {
  /** Ranks or nodes, ascending. */
  readonly places: readonly number[];
  /** Node of each place. */
  readonly nodes: readonly number[];
  /** Bytes sent, shape [from, to]. */
  readonly bytes: readonly (readonly number[])[];
  /** Kept choices that stay in a place or go to another, shape [from, to]. */
  readonly choices: readonly (readonly number[])[];
}

/** Some tokens of a sequence, with their choices. */
export interface SequenceRoutes {
  readonly step: number;
  readonly sequence: number;
  readonly domain: string;
  readonly rank: number;
  readonly node: number;
  /** Number of tokens in the sequence. */
  readonly length: number;
  /** Index of the first token of this reply. */
  readonly from: number;
  readonly tokens: {
    readonly id: readonly number[];
    readonly document: readonly number[];
    readonly position: readonly number[];
    /**
     * Text of each token; empty where a character continues in the next token. Null if the tokenizer of the
     * run cannot be read.
     */
    readonly text: readonly string[] | null;
  };
  /** Choices in each sparse layer. */
  readonly layers: readonly (ChoiceColumns & { readonly layer: number })[];
}

/** Choices, ordered by token, then by choice. */
export interface ChoiceColumns {
  /** Index among the tokens of the reply. */
  readonly token: readonly number[];
  readonly choice: readonly number[];
  readonly expert: readonly number[];
  readonly rank: readonly number[];
  readonly node: readonly number[];
  readonly gate: readonly (number | null)[];
  readonly bias: readonly (number | null)[];
  readonly preference: readonly (number | null)[];
  readonly score: readonly (number | null)[];
  readonly margin: readonly (number | null)[];
  readonly entropy: readonly (number | null)[];
  readonly gateExpert: readonly (number | null)[];
  readonly weight: readonly (number | null)[];
  readonly outcome: readonly RouteOutcome[];
  readonly link: readonly RouteLink[];
  readonly bytes: readonly number[];
}

/** Tokens, domains and sequences that chose one expert of a layer in a step. */
export interface ExpertRoutes {
  readonly step: number;
  readonly layer: number;
  readonly expert: number;
  /** Choices of the expert by outcome. */
  readonly outcomes: Readonly<Record<RouteOutcome, number>>;
  /** Number of all choices in the layer. */
  readonly ofLayer: number;
  /** Ranks that the choices of the expert were sent to, with their number of choices. */
  readonly places: readonly { readonly rank: number; readonly node: number; readonly choices: number }[];
  readonly domains: readonly { readonly domain: string; readonly choices: number }[];
  /** Token ids by number of choices, highest first. */
  readonly mostTaken: readonly TakenToken[];
  /** Token ids by the share of their choices that fell on this expert, highest first. */
  readonly mostExclusive: readonly TakenToken[];
  /** Sequences with the most choices of this expert, highest first. */
  readonly sequences: readonly {
    readonly sequence: number;
    readonly domain: string;
    readonly choices: number;
  }[];
}

export interface TakenToken {
  readonly token: number;
  readonly text: string | null;
  readonly choices: number;
  /** Share of the token id's choices in the layer that fell on this expert. */
  readonly share: number;
}
