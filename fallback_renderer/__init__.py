"""The back wing: draws a picture here when the provider failed.

So far it knows what it would draw and how (`params`), and draws nothing: there is no engine yet.
Failed generations wait in the catalog as `render` jobs, `held: no renderer`, with everything that
a renderer will need, so none of them is lost by waiting.
"""
