"""Makes sealed files from tables, arrays, folders of images and lines of text; pyarrow and Pillow only where needed."""
