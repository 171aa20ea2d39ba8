export { benchStep } from './bench.js';
export { timeRecipes } from './recipes.js';
