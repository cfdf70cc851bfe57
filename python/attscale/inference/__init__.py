"""From weights and images to label maps: prediction, CRF, pictures, submission, and what a result was made of."""
