import { ROUTER_NAMES } from 'locmoe/internal/routing/index';
import { readYaml } from './read-yaml.js';

/** A router as a study trains it. */
export interface Router {
  readonly id: string;
  readonly label: string;
  /** Config overrides. */
  readonly sets: readonly string[];
}

type Described = Readonly<
  Record<string, { readonly label: string; readonly sets: readonly (string | readonly string[])[] }>
>;

/** Reads the routers in studies/FILE, in order; locmoe's other routers follow with their defaults. */
export function readAllRouters(file: string): Router[] {
  const { routers } = readYaml<{ readonly routers: Described }>(file);
  const described = Object.entries(routers).map(([id, { label, sets }]) => ({
    id,
    label,
    sets: sets.flat(),
  }));
  const others = ROUTER_NAMES.filter((name) => !described.some(({ id }) => id === name));
  return [...described, ...others.map((name) => ({ id: name, label: name, sets: [`moe.router=${name}`] }))];
}
