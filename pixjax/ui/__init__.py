"""The page of `pixjax demo-ui`. Only `page.py` and `serve.py` know Gradio; what they show is made beside them."""
