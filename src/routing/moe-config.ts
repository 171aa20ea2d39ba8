import { z } from 'zod';
import { TrainerError } from '../errors.js';
import { commonFields } from './common-fields.js';
import { real } from './numeric-fields.js';
import { ownRouterPolicy } from './own/own-router.js';
import type { RouterPolicy } from './policy.js';
import * as routers from './routers/routers.js';

const policies = { ...routers };
export type RouterName = keyof typeof policies;
export const ROUTER_NAMES = Object.keys(policies) as readonly RouterName[];

type ToIntersection<Union> = (Union extends unknown ? (each: Union) => void : never) extends (
  all: infer All,
) => void
  ? All
  : never;
type RouterFields = ToIntersection<(typeof policies)[RouterName]['fields']>;

/** Section `moe:`: the common fields and the fields of every router. */
export const moeSchema = z.strictObject({
  ...commonFields,
  router: z
    .enum(ROUTER_NAMES)
    .or(z.string().regex(/[./]/, { abort: true }))
    .default('locmoe-plus')
    .describe(
      'how level 2 picks experts inside the group; or the path of a file, or a package, with a router of your own',
    ),
  routerOptions: z.record(z.string(), z.unknown()).default({}).describe('fields of a router of your own'),
  expertStorage: z
    .strictObject({
      kind: z
        .enum(['memory', 'file'])
        .default('memory')
        .describe(
          'where experts are that a step has no tokens for; file: on the disk of the run, with train.expertUpdate touched alone',
        ),
      budgetMB: real
        .positive()
        .default(1000)
        .describe('file: 10^6 bytes of a rank for the experts in memory, with gradients and moments'),
    })
    .prefault({}),
  ...fieldsOfRouters(),
});

export type MoeConfig = Readonly<z.output<typeof moeSchema>>;

export function isBuiltInRouter(name: string): name is RouterName {
  return Object.hasOwn(policies, name);
}

/** @throws TrainerError as `ownRouterPolicy` */
export function routerPolicy(name: string): RouterPolicy<MoeConfig> {
  return isBuiltInRouter(name) ? policies[name] : ownRouterPolicy(name);
}

/** @throws TrainerError `INTERNAL` if two routers declare the same field differently */
function fieldsOfRouters(): RouterFields {
  const fields: Record<string, z.ZodType> = {};
  for (const name of ROUTER_NAMES)
    for (const [field, schema] of Object.entries<z.ZodType>(policies[name].fields)) {
      if (field in commonFields || (fields[field] ?? schema) !== schema)
        throw new TrainerError('INTERNAL', `router ${name}: moe.${field} is already declared differently`);
      fields[field] = schema;
    }
  return fields as RouterFields;
}
