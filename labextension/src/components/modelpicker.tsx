/** Which model answers: a native select, so keys and readers work. */
import type { TranslationBundle } from '@jupyterlab/translation';

import { shortTokens } from '../chat/meter';
import type { IModel, IStatus } from '../wire/types';
import { figure } from './figures';

export interface IModelPickerProps {
  trans: TranslationBundle;
  status: IStatus | null;
  /** id; null: the server's default */
  model: string | null;
  /** the server does not tell: nobody connects any more */
  lost: boolean;
  choose(id: string): void;
}

/** The model that the next question goes to, if the server named it. */
export function chosenModel(
  status: IStatus | null,
  id: string | null
): IModel | undefined {
  const wanted = id ?? status?.default_model;
  return status?.models.find(model => model.id === wanted) ?? status?.models[0];
}

export function ModelPicker(props: IModelPickerProps): JSX.Element {
  const { trans, status, model, lost, choose } = props;
  const chosen = chosenModel(status, model);
  const state = status?.model_server.state ?? (lost ? 'down' : 'loading');
  if (!chosen || !status) {
    return (
      <span className={`jp-Cellar-model jp-mod-${state}`}>
        <Dot state={state} />
        {status === null
          ? lost
            ? trans.__('Not connected')
            : trans.__('Connecting…')
          : state === 'loading'
            ? trans.__('Model is loading…')
            : trans.__('No model')}
      </span>
    );
  }
  const title = [
    chosen.id,
    trans.__('Reads %1 tokens', figure(chosen.context_length)),
    chosen.vision === true ? trans.__('Sees pictures') : '',
    chosen.vision === false ? trans.__('Does not see pictures') : '',
    stateWords(trans, state)
  ]
    .filter(line => line !== '')
    .join('\n');
  return (
    <span className={`jp-Cellar-model jp-mod-${state}`} title={title}>
      <Dot state={state} />
      {status.models.length > 1 ? (
        <select
          aria-label={trans.__('Model')}
          value={chosen.id}
          onChange={event => choose(event.target.value)}
        >
          {status.models.map(other => (
            <option key={other.id} value={other.id}>
              {nameOf(other)}
            </option>
          ))}
        </select>
      ) : (
        <span className="jp-Cellar-modelName">{nameOf(chosen)}</span>
      )}
    </span>
  );
}

/** A path as a model's name (vLLM's default) is shown by its end. */
function nameOf(model: IModel): string {
  const name = model.id.split('/').pop() || model.id;
  return `${name} · ${shortTokens(model.context_length)}`;
}

function stateWords(
  trans: TranslationBundle,
  state: IStatus['model_server']['state']
): string {
  switch (state) {
    case 'up':
      return '';
    case 'loading':
      return trans.__('The model is loading');
    case 'down':
      return trans.__('The model server does not answer');
  }
}

function Dot({ state }: { state: string }): JSX.Element {
  return (
    <span className={`jp-Cellar-dot jp-mod-${state}`} aria-hidden="true" />
  );
}
