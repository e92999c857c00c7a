// Pure parts only: decoder, store, splitter, words. What needs a page is tested
// in Chromium (tests/ui). JupyterLab's packages are ES modules: swc turns them.
module.exports = {
  testEnvironment: 'jsdom',
  setupFiles: ['<rootDir>/src/__tests__/page.js'],
  testRegex: '/__tests__/.*\\.spec\\.tsx?$',
  modulePathIgnorePatterns: ['<rootDir>/lib/'],
  transform: {
    '\\.[jt]sx?$': [
      '@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript', tsx: true, decorators: true },
          transform: { react: { runtime: 'automatic' } },
          target: 'es2022'
        },
        module: { type: 'commonjs' }
      }
    ]
  },
  moduleNameMapper: {
    '\\.(css|svg)$': '<rootDir>/src/__tests__/asset.js'
  },
  transformIgnorePatterns: [
    '/node_modules/(?!(@jupyterlab|@jupyter|@microsoft|@codemirror|@marijn|lib0|y-protocols|yjs|nanoid|exenv-es6|marked.*|uuid)/)'
  ]
};
