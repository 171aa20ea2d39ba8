import { expect, it } from 'vitest';
import { createRouter } from '../../src/routing/index.js';
import { routerContext } from './context.js';

it.each(['nobody', 'toString'])('refuses the unknown router %s and lists the known ones', (router) => {
  const create = () => createRouter(routerContext({ router }));
  expect(create).toThrow(expect.objectContaining({ code: 'BAD_CONFIG' }));
  expect(create).toThrow(`moe.router ${router} is unknown; known routers: hash, switch, locmoe, locmoe-plus`);
});
