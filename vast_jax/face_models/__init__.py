"""What makes and judges a face model: importers, correspondence, correctives, assessment (docs/face_models.md)."""
