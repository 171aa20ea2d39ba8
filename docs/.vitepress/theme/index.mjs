import DefaultTheme from 'vitepress/theme-without-fonts';
import ExportedModel from './ExportedModel.vue';
import './site.css';

export default {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    app.component('ExportedModel', ExportedModel);
  },
};
