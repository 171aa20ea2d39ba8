// The columns of recorded routes, and rows of them in memory (routes-file.ts reads and writes the files).

export interface Column {
  readonly type: 'INT32' | 'FLOAT' | 'STRING';
  readonly nullable?: boolean;
  readonly description: string;
}

/** The columns of recorded routes. A row is one choice of one token in one sparse layer. */
export const ROUTE_COLUMNS = {
  step: { type: 'INT32', description: 'step of the run, or of the checkpoint that routed the text' },
  rank: { type: 'INT32', description: 'rank that holds the token' },
  node: { type: 'INT32', description: 'node of that rank' },
  layer: { type: 'INT32', description: 'index among all layers of the model, from 0' },
  sequence: { type: 'INT32', description: 'index of the sequence in the global batch, or in the text' },
  domain: { type: 'STRING', description: 'domain of the sequence, which decides the open experts (level 1)' },
  document: { type: 'INT32', description: 'index of the document in the text of its domain' },
  position: { type: 'INT32', description: 'position of the token in its sequence, from 0' },
  token: { type: 'INT32', description: 'vocabulary id of the token' },
  choice: { type: 'INT32', description: 'index among the choices of the token, from 0' },
  expert: { type: 'INT32', description: 'expert that was chosen' },
  expertRank: { type: 'INT32', description: 'rank of that expert, as seen from the token' },
  expertNode: { type: 'INT32', description: 'node of that rank' },
  gate: {
    type: 'FLOAT',
    nullable: true,
    description: 'score of the gate alone, with `deepseek` the sigmoid; null without a gate',
  },
  bias: {
    type: 'FLOAT',
    nullable: true,
    description: 'bias of the expert, learned or balancing; null without',
  },
  preference: {
    type: 'FLOAT',
    nullable: true,
    description: 'preference of the token id for the expert (moe.tokenPreference); null without',
  },
  score: {
    type: 'FLOAT',
    nullable: true,
    description: 'gate + bias + preference, by which experts are ranked',
  },
  margin: {
    type: 'FLOAT',
    nullable: true,
    description: "the token's best score less its second best, over the experts that are open to it",
  },
  gateExpert: {
    type: 'INT32',
    nullable: true,
    description: 'open expert that the gate alone ranks first',
  },
  entropy: {
    type: 'FLOAT',
    nullable: true,
    description: 'entropy of the softmax of the gate over the open experts, in nats',
  },
  logSum: {
    type: 'FLOAT',
    nullable: true,
    description:
      "log of the sum of exp(gate) over the open experts; the mean of its square is ST-MoE's router z",
  },
  weight: { type: 'FLOAT', description: "weight of the expert's output; 1 for a router without weights" },
  outcome: { type: 'STRING', description: 'kept, over capacity or not chosen' },
  link: { type: 'STRING', description: 'from token to expert: rank (the same), node (the same), network' },
  bytes: {
    type: 'INT32',
    description: 'activations that a kept choice sends to another rank, in one direction, not deduplicated',
  },
} as const satisfies Readonly<Record<string, Column>>;

export type RouteColumn = keyof typeof ROUTE_COLUMNS;
export type RouteOutcome = 'kept' | 'over capacity' | 'not chosen';
export type RouteLink = 'rank' | 'node' | 'network';

type Cell<C extends Column> =
  | (C['type'] extends 'STRING' ? string : number)
  | (C extends { nullable: true } ? null : never);

/** One choice of one token. */
export type RouteRow = {
  readonly [Name in RouteColumn]: Name extends 'outcome'
    ? RouteOutcome
    : Name extends 'link'
      ? RouteLink
      : Cell<(typeof ROUTE_COLUMNS)[Name]>;
};

/** Rows by column. */
export type RouteTable = { readonly [Name in RouteColumn]: RouteRow[Name][] };

export const COLUMN_NAMES = Object.keys(ROUTE_COLUMNS) as RouteColumn[];

export function emptyRouteTable(): RouteTable {
  return Object.fromEntries(COLUMN_NAMES.map((name) => [name, []])) as unknown as RouteTable;
}

export function rowsOf(table: RouteTable): RouteRow[] {
  return table.step.map(
    (_, row) => Object.fromEntries(COLUMN_NAMES.map((name) => [name, table[name][row]])) as RouteRow,
  );
}
