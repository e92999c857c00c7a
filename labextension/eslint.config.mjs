// Layers: plugins -> components -> chat, notebook -> wire; api.ts is the one
// door to the server. `no-restricted-imports` keeps them apart.
import tseslint from 'typescript-eslint';
import hooks from 'eslint-plugin-react-hooks';
import prettier from 'eslint-config-prettier';

/** Nothing but api.ts may speak HTTP. */
const HTTP = [
  { name: 'fetch', message: 'api.ts is the one door to the server.' },
  { name: 'EventSource', message: 'api.ts is the one door to the server.' },
  { name: 'XMLHttpRequest', message: 'api.ts is the one door to the server.' }
];

const SERVER_CONNECTION = {
  name: '@jupyterlab/services',
  importNames: ['ServerConnection'],
  message: 'api.ts is the one door to the server.'
};

/** A room and the folders that it must not import. */
function layer(files, forbidden, reason) {
  return {
    files,
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: [SERVER_CONNECTION],
          patterns: forbidden.length
            ? [{ group: forbidden, message: reason }]
            : []
        }
      ]
    }
  };
}

export default tseslint.config(
  { ignores: ['lib', 'node_modules', 'coverage', '**/*.js', '**/*.mjs'] },
  ...tseslint.configs.recommended,
  {
    files: ['src/**/*.{ts,tsx}'],
    plugins: { 'react-hooks': hooks },
    rules: {
      ...hooks.configs.recommended.rules,
      '@typescript-eslint/no-explicit-any': 'error',
      // Lumino's commands, messages and signals hand over arguments one may not need.
      '@typescript-eslint/no-unused-vars': ['error', { args: 'none' }],
      'no-restricted-globals': ['error', ...HTTP],
      'no-console': ['error', { allow: ['warn', 'error'] }],
      eqeqeq: 'error',
      'prefer-arrow-callback': 'error'
    }
  },
  layer(
    ['src/wire/**'],
    [
      '**/chat/*',
      '**/components/**',
      '**/notebook/*',
      '**/plugins/*',
      '**/api'
    ],
    'wire knows nothing but the contract.'
  ),
  layer(
    ['src/chat/**', 'src/api.ts'],
    ['**/components/**', '**/notebook/*', '**/plugins/*'],
    'the state knows nothing of the screen.'
  ),
  layer(
    ['src/notebook/**'],
    ['**/components/**', '**/plugins/*', '**/api'],
    'notebook reads documents; the chat reaches it through tokens.'
  ),
  layer(
    ['src/components/**'],
    ['**/plugins/*'],
    'components are mounted by plugins, not the other way.'
  ),
  layer(['src/plugins/**', 'src/index.ts'], [], ''),
  {
    files: ['src/api.ts'],
    rules: { 'no-restricted-imports': 'off' }
  },
  prettier
);
