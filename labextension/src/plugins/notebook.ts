/** The documents of JupyterLab and Notebook 7 as context and as targets of code. */
import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { IEditorTracker } from '@jupyterlab/fileeditor';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Api } from '../api';
import { IChat } from '../chat/tokens';
import { Actions } from '../notebook/actions';
import { Documents } from '../notebook/documents';
import { Items } from '../notebook/items';
import { ContextSource } from '../notebook/source';
import { CodeTargets } from '../notebook/targets';
import { INotebookRoom } from '../notebook/tokens';
import type { ISearchHit } from '../wire/types';

export const notebookPlugin: JupyterFrontEndPlugin<INotebookRoom> = {
  id: '@cellar/lab:notebook',
  description: 'Notebooks and files: context of a question, target of code.',
  autoStart: true,
  provides: INotebookRoom,
  requires: [IChat, IDocumentManager],
  optional: [
    INotebookTracker,
    IEditorTracker,
    IDefaultFileBrowser,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    chat: IChat,
    documentManager: IDocumentManager,
    notebooks: INotebookTracker | null,
    editors: IEditorTracker | null,
    files: IDefaultFileBrowser | null,
    translator: ITranslator | null
  ): INotebookRoom => {
    const trans = (translator ?? nullTranslator).load('cellar');
    const { contents } = app.serviceManager;
    const documents = new Documents({
      shell: app.shell,
      notebooks,
      editors,
      localPath: path => contents.localPath(path)
    });
    const items = new Items(documents, contents, trans);
    const source = new ContextSource({
      documents,
      items,
      contents,
      trans,
      search: newestSearch(new Api())
    });
    chat.addSource(source);
    chat.setCodeTargets(
      new CodeTargets({
        documents,
        shell: app.shell,
        documentManager,
        trans,
        folder: () => files?.model.path ?? '',
        onError: error => {
          Notification.error(
            trans.__('Cellar could not do that: %1', String(error))
          );
        }
      })
    );
    return {
      documents,
      items,
      source,
      actions: new Actions(chat, documents, items)
    };
  }
};

/** A newer search ends the one before: only the last answer is wanted. */
function newestSearch(api: Api): (query: string) => Promise<ISearchHit[]> {
  let running = new AbortController();
  return query => {
    running.abort();
    running = new AbortController();
    return api.search(query, running.signal);
  };
}
