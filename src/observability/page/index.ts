export { pageFeature } from './page-feature.js';
